import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { connectEngine } from '../../src/executors/docker/api/connect.ts'
import { importImage } from '../../src/executors/docker/images/import-image.ts'
import { canStartPrivateEngine, startPrivateEngine, type PrivateEngine } from '../support/engine.ts'

const BIN = resolve(import.meta.dirname, '../../bin/opthub-runner.js')
const NOBODY = 65_534
/** As the group "docker" of a machine where nobody else is in it. */
const DOCKER_GROUP = 54_321

const withEngines = test.skipIf(!canStartPrivateEngine())

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'opthub-doctor-'))
  await chmod(folder, 0o755)
  await mkdir(join(folder, 'home'))
  await chmod(join(folder, 'home'), 0o777)
  await writeFile(
    join(folder, 'config.yml'),
    'matches: {"*": {problem: {image: p}, indicator: {image: i}}}\n',
  )
})
afterEach(() => rm(folder, { recursive: true, force: true }))

interface Check {
  status: string
  detail: string
  fix?: string
}

/** Runs `doctor` behind a command that changes who or where it is; the findings by id. */
async function doctor(engine: PrivateEngine, ...before: string[]): Promise<{ of(id: string): Check }> {
  const [command, ...args] = [...before, process.execPath, BIN, 'doctor', '--local', '--json']
  const child = spawn(command, [...args, '-c', join(folder, 'config.yml')], {
    cwd: '/',
    env: {
      PATH: process.env['PATH'],
      HOME: join(folder, 'home'),
      OPTHUB_RUNNER_HOME: join(folder, 'home'),
      DOCKER_HOST: engine.host,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (data: Buffer) => (text += data.toString()))
  await once(child, 'close')
  const { checks } = JSON.parse(text) as { checks: (Check & { id: string })[] }
  const found = new Map(checks.map((check) => [check.id, check]))
  return { of: (id) => found.get(id) ?? { status: 'none', detail: text } }
}

withEngines('an engine that is stopped, and one that has crashed: start it', async () => {
  await using engine = await startPrivateEngine()
  expect((await doctor(engine)).of('docker').status).toBe('ok')
  for (const end of ['stop', 'crash'] as const) {
    await engine[end]()
    const stopped = await doctor(engine)
    expect(stopped.of('docker')).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('Docker is not running') as string,
      fix: expect.stringMatching(/^Start Docker \(Linux: `sudo systemctl start docker`/) as string,
    })
    expect(stopped.of('disk').status).toBe('unchecked')
    expect(stopped.of('table').status).toBe('ok')
    await engine.restart()
    expect((await doctor(engine)).of('docker').status).toBe('ok')
  }
})

withEngines('a socket that this user may not use: its group', async () => {
  await using engine = await startPrivateEngine()
  // Where it lies is no secret; the socket itself is what it is on a machine with Docker from a package.
  await chmod(dirname(engine.socketPath), 0o755)
  await chown(engine.socketPath, 0, DOCKER_GROUP)
  await chmod(engine.socketPath, 0o660)
  const asNobody = ['setpriv', `--reuid=${String(NOBODY)}`, `--regid=${String(NOBODY)}`]
  const forbidden = await doctor(engine, ...asNobody, '--clear-groups')
  expect(forbidden.of('docker')).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('No permission to use Docker') as string,
    fix: expect.stringContaining('Add yourself to its group (`sudo usermod -aG docker $USER`') as string,
  })
  expect(forbidden.of('table').status).toBe('ok')
  // What a new login has after that command.
  const member = await doctor(engine, ...asNobody, `--groups=${String(DOCKER_GROUP)}`)
  expect(member.of('docker').status).toBe('ok')
})

withEngines('too little space: remove what nobody uses', async () => {
  // 2 GiB are wanted.
  await using engine = await startPrivateEngine({ diskMib: 2048 + 60 })
  // The disk can be seen from where the engine is.
  const beside = ['nsenter', '-t', String(engine.pid), '-m']
  expect((await doctor(engine, ...beside)).of('disk').status).toBe('ok')
  const client = await connectEngine({ host: engine.host, environment: {} })
  try {
    const content = 'x'.repeat(90 * 1024 ** 2)
    const entries = [{ path: '/big', type: 'text', content } as const]
    await importImage(client, { tag: 'unused:1', entries, command: ['/big'] })
    const full = await doctor(engine, ...beside)
    expect(full.of('disk')).toMatchObject({
      status: 'failed',
      detail: expect.stringMatching(/^only .* free in .*; runners need 2\.0 GiB$/) as string,
      fix: expect.stringContaining('`docker image prune -a`') as string,
    })
    // As that command does.
    const filters = encodeURIComponent(JSON.stringify({ dangling: ['false'] }))
    await client.json('POST', `/images/prune?filters=${filters}`)
  } finally {
    client.close()
  }
  expect((await doctor(engine, ...beside)).of('disk').status).toBe('ok')
})
