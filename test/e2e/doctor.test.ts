import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const BIN = resolve(import.meta.dirname, '../../bin/opthub-runner.js')
const NOBODY = 65_534

const canChangeUser = process.platform === 'linux' && process.getuid?.() === 0

/** Runs `doctor` as another user; the findings by id. */
async function doctorAs(
  uid: number,
  gid: number,
  folder: string,
): Promise<{ code: number; checks: Map<string, { status: string; detail: string; fix?: string }> }> {
  const child = spawn(
    process.execPath,
    [BIN, 'doctor', '--local', '--json', '-c', join(folder, 'config.yml')],
    {
      uid,
      gid,
      cwd: '/',
      env: {
        PATH: process.env['PATH'],
        HOME: join(folder, 'home'),
        OPTHUB_RUNNER_HOME: join(folder, 'home'),
        DOCKER_HOST: `unix://${join(folder, 'docker.sock')}`,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let text = ''
  child.stdout.on('data', (data: Buffer) => (text += data.toString()))
  const [code] = (await once(child, 'close')) as [number]
  const { checks } = JSON.parse(text) as { checks: { id: string; status: string; detail: string }[] }
  return { code, checks: new Map(checks.map((check) => [check.id, check])) }
}

test.skipIf(!canChangeUser)('a socket that this user may not use, and its cure', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'opthub-doctor-'))
  const engine = createServer((request, response) => {
    if (request.url === '/version') response.end('{"Version":"24.0.7","Os":"linux","Arch":"amd64"}')
    else if (request.url === '/_ping') response.end('OK')
    else response.end('{"Os":"linux","Architecture":"amd64"}')
  }).listen(join(folder, 'docker.sock'))
  try {
    await once(engine, 'listening')
    await chmod(folder, 0o755)
    await chmod(join(folder, 'docker.sock'), 0o600)
    await mkdir(join(folder, 'home'), { mode: 0o777 })
    await chmod(join(folder, 'home'), 0o777)
    await writeFile(
      join(folder, 'config.yml'),
      'matches: {"*": {problem: {image: p}, indicator: {image: i}}}\n',
    )
    const forbidden = await doctorAs(NOBODY, NOBODY, folder)
    expect(forbidden.code).toBe(1)
    expect(forbidden.checks.get('docker')).toMatchObject({
      status: 'failed',
      detail: expect.stringContaining('No permission to use Docker') as string,
      fix: expect.stringContaining('usermod -aG docker') as string,
    })
    expect(forbidden.checks.get('table')).toMatchObject({ status: 'ok' })
    // As being in the socket's group does.
    await chmod(join(folder, 'docker.sock'), 0o666)
    const allowed = await doctorAs(NOBODY, NOBODY, folder)
    expect([...allowed.checks.values()].filter(({ status }) => status === 'failed')).toEqual([])
    expect(allowed.code).toBe(0)
  } finally {
    engine.closeAllConnections()
    engine.close()
    await rm(folder, { recursive: true, force: true })
  }
})
