// `npm run demo`: installs, builds, then plays a whole small competition. Node built-ins only, because it starts in a
// clone without node_modules.
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import { build, install, root } from './setup.mjs'

if (install() !== 0) process.exit(1)
if (build() !== 0) process.exit(1)

const child = spawn(
  process.execPath,
  [join(root, 'bin/opthub-runner.js'), 'demo', ...process.argv.slice(2)],
  {
    stdio: 'inherit',
  },
)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  // A terminal's Ctrl-C reaches the child by itself, and it takes the echo for what it is; others need passing on.
  process.on(signal, () => child.kill(signal))
}
child.on('close', (code, signal) => {
  process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
})
