// `npm run bench -- [name…]`: compiles bench/ and what it needs, then runs it. Node built-ins only.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, run } from './setup.mjs'

const out = join(root, 'node_modules/.cache/bench')
mkdirSync(out, { recursive: true })
// Below node_modules this project's own package.json does not say what a .js file is.
writeFileSync(join(out, 'package.json'), '{ "type": "module" }\n')
// Benches start the built binary, too.
if (run(process.execPath, ['scripts/build.mjs']) !== 0) process.exit(1)
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'
const tsc = join(root, 'node_modules/typescript/bin/tsc')
if (run(process.execPath, [tsc, '-p', 'bench/tsconfig.json']) !== 0) process.exit(1)
process.exit(run(process.execPath, ['--expose-gc', join(out, 'bench/run.js'), ...process.argv.slice(2)]))
