// `npm run verify`: install, build, lint, type-check, check the package, run every test, a minute of chaos included
// (`npm run chaos` has more). Node built-ins only,
// because it starts in a clone without node_modules.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build, install, root, run } from './setup.mjs'

const startedAt = performance.now()
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(0)} s`

function fail(what) {
  console.error(`\n✖ ${what} (after ${seconds(startedAt)})`)
  process.exitCode = 1
}

/** Runs checks side by side, each with its output kept together; returns the names of those that failed. */
async function checks(named) {
  const failed = []
  await Promise.all(
    Object.entries(named).map(
      ([name, [command, args]]) =>
        new Promise((resolve) => {
          const since = performance.now()
          const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
          let output = ''
          child.stdout.on('data', (data) => (output += data))
          child.stderr.on('data', (data) => (output += data))
          child.on('error', (error) => (output += error.message))
          child.on('close', (code) => {
            if (code === 0) console.log(`✔ ${name} (${seconds(since)})`)
            else {
              failed.push(name)
              console.error(`✖ ${name}\n${output}`)
            }
            resolve()
          })
        }),
    ),
  )
  return failed
}

const bin = (name) => join(root, 'node_modules/.bin', name)

/** The tarball as npm would publish it, looked at by publint and attw. */
async function checkPackage() {
  const folder = mkdtempSync(join(tmpdir(), 'opthub-runner-pack-'))
  try {
    const npm = process.env.npm_execpath
    const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder]
    const packed = npm
      ? spawnSync(process.execPath, [npm, ...args], { cwd: root, encoding: 'utf8' })
      : spawnSync('npm', args, { cwd: root, encoding: 'utf8' })
    if (packed.status !== 0) return [`npm pack: ${packed.stderr}`]
    const tarball = join(folder, readdirSync(folder)[0])
    return await checks({
      publint: [bin('publint'), ['--strict', tarball]],
      attw: [bin('attw'), ['--profile', 'esm-only', tarball]],
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** 'running' = an engine answers; 'started' = by us just now; undefined = none, and none can be started here. */
function engine() {
  const version = spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], { encoding: 'utf8' })
  if (version.status === 0) return 'running'
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined
  return run('bash', ['scripts/docker-up.sh']) === 0 ? 'started' : undefined
}

/** The registry that the tests pull from, a package of Debian; CI has it installed, others are told that tests are left out. */
function registry() {
  const isThere = () => spawnSync('docker-registry', ['--version']).error === undefined
  if (isThere() || process.env.CI !== 'true' || process.getuid?.() !== 0) return
  const install = 'apt-get update -qq && apt-get install -y -qq --no-install-recommends docker-registry'
  run('sh', ['-c', `DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; { ${install}; } >/dev/null`])
}

async function main() {
  if (install() !== 0) return fail('npm ci failed')
  if (build() !== 0) return fail('the build failed')
  const failed = [
    ...(await checks({
      prettier: [bin('prettier'), ['--check', '--log-level', 'warn', '.']],
      eslint: [bin('eslint'), ['.']],
    })),
    ...(await checks({ types: [bin('tsc'), ['-p', 'tsconfig.json']], knip: [bin('knip'), []] })),
    ...(await checkPackage()),
  ]
  if (failed.length > 0) return fail(`failed: ${failed.join(', ')}`)

  const docker = engine()
  if (docker !== undefined) registry()
  const args = ['run']
  if (docker === undefined) {
    console.error('\n' + '!'.repeat(78))
    console.error(
      '!! No Docker engine: the suites docker, e2e, chaos and hostile do NOT run (scripts/docker-up.sh starts one)',
    )
    console.error('!'.repeat(78) + '\n')
    if (process.env.CI === 'true') return fail('CI needs a Docker engine')
    args.push('--project=!docker', '--project=!e2e', '--project=!chaos', '--project=!hostile')
  }
  try {
    if (run(bin('vitest'), args) !== 0) return fail('tests failed')
  } finally {
    if (docker === 'started') run('bash', ['scripts/docker-up.sh', '--stop'])
  }
  console.log(`\n✔ verified in ${seconds(startedAt)}`)
}

await main()
