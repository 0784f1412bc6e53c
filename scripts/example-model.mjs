// `npm run model [-- name:tag]`: trains the model of examples/inference and makes its image of this machine's own
// Python, without a registry (Linux only).
import { join } from 'node:path'
import { makeModelImage } from './example-model-image.mjs'
import { build, install, root } from './setup.mjs'

const tag = process.argv[2] ?? 'opthub-runner-example/inference:1.0.0'

if (install() !== 0) process.exit(1)
if (build() !== 0) process.exit(1)

const from = (path) => import(join(root, 'dist/executors/docker', path))
const [{ connectEngine }, images, programs] = await Promise.all([
  from('api/connect.js'),
  from('images/import-image.js'),
  from('images/host-programs.js'),
])

let engine
try {
  engine = await connectEngine({ environment: process.env })
  const { made } = await makeModelImage(engine, tag, { ...images, ...programs })
  console.log(`${tag} ${made ? 'was made' : 'is there'}`)
} catch (error) {
  console.error(`${error.message}${error.hint === undefined ? '' : `\n${error.hint}`}`)
  process.exitCode = 1
} finally {
  engine?.close()
}
