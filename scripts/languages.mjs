// `npm run languages [-- name…]`: gets the images of code-exec's languages. Where no registry answers they are made of
// this machine's own programs, under the names that the defaults look for.
import { join } from 'node:path'
import { build, install, root } from './setup.mjs'

if (install() !== 0) process.exit(1)
if (build() !== 0) process.exit(1)

const from = (path) => import(join(root, 'dist', path))
const [{ connectEngine }, { createDockerExecutor }, { HOST_LANGUAGES, importHostLanguage }] =
  await Promise.all([
    from('executors/docker/api/connect.js'),
    from('executors/docker/docker-executor.js'),
    from('executors/docker/images/host-languages.js'),
  ])
const [{ DEFAULT_LANGUAGES }, { createLogger }] = await Promise.all([
  from('kinds/code-exec/languages.js'),
  from('core/log.js'),
])

const asked = process.argv.slice(2)
const names = asked.length > 0 ? asked : [...HOST_LANGUAGES]
const unknown = names.find((name) => !Object.hasOwn(DEFAULT_LANGUAGES, name))
if (unknown !== undefined) {
  console.error(`No such language: ${unknown}. There are: ${Object.keys(DEFAULT_LANGUAGES).join(', ')}.`)
  process.exit(2)
}

const engine = await connectEngine({ environment: process.env })
const executor = createDockerExecutor({
  engine,
  processName: 'languages',
  log: createLogger(() => undefined),
  environment: process.env,
  pullPolicy: 'if-not-present',
})
try {
  for (const name of names) console.log(`${name}: ${await get(name, DEFAULT_LANGUAGES[name].image)}`)
} catch (error) {
  console.error(`${error.message}${error.hint === undefined ? '' : `\n${error.hint}`}`)
  process.exitCode = 1
} finally {
  await executor.close()
}

/** Says what was done. */
async function get(name, image) {
  try {
    const { digest } = await executor.pull(image, AbortSignal.timeout(600_000))
    return `${image} is there${digest === undefined ? '' : ` (${digest})`}`
  } catch (error) {
    if (!HOST_LANGUAGES.includes(name)) throw error
    const { made } = await importHostLanguage(engine, name, { tag: image, nodePath: process.execPath })
    return `${image} ${made ? 'was made' : 'is there, made'} of this machine's own ${name}, since the registry did not answer`
  }
}
