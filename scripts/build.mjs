// Compiles src/ to dist/, from scratch when a source file is gone, so that no stale file is packed or run.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const dist = join(root, 'dist')
const buildInfo = join(root, 'node_modules/.cache/tsc/build.tsbuildinfo')

if (existsSync(dist)) {
  const stale = readdirSync(dist, { recursive: true }).some((name) => {
    const file = String(name)
    return file.endsWith('.js') && !existsSync(join(root, 'src', file.replace(/\.js$/, '.ts')))
  })
  if (stale) rmSync(dist, { recursive: true })
}
// Without its output an incremental build believes that there is nothing to do.
if (!existsSync(dist)) rmSync(buildInfo, { force: true })

const tsc = join(root, 'node_modules/typescript/bin/tsc')
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})
process.exit(status ?? 1)
