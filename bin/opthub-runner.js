#!/usr/bin/env node
// Written for old engines too: it must be able to say that they are too old.
var version = process.versions.node.split('.')
if (Number(version[0]) < 20 || (Number(version[0]) === 20 && Number(version[1]) < 19)) {
  console.error(
    'opthub-runner needs Node.js 20.19 or newer; this is ' + process.version + '. See https://nodejs.org',
  )
  process.exit(1)
}

// The AWS SDK would tell every user of an older Node that some later release of it will not run there.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'

import('../dist/cli/main.js').then(
  function (main) {
    return main.start()
  },
  function (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || !/dist.cli.main\.js/.test(error.message)) throw error
    console.error('opthub-runner is not built yet: run `npm install` and `npm run build` in its folder')
    process.exit(1)
  },
)
