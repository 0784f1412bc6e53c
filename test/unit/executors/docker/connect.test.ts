import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OperatorError } from '../../../../src/core/errors.ts'
import { connectEngine } from '../../../../src/executors/docker/api/connect.ts'

let home: string
let servers: Server[]

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'h-'))
  servers = []
})
afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
  rmSync(home, { recursive: true })
})

/** An engine that answers pings, at a socket below the home folder. */
async function serve(
  path: string,
  answer: RequestListener = (_request, response) => response.end('OK'),
): Promise<string> {
  const socketPath = join(home, path)
  mkdirSync(dirname(socketPath), { recursive: true })
  const server = createServer(answer).listen(socketPath)
  servers.push(server)
  await once(server, 'listening')
  return socketPath
}

function writeContext(name: string, host: string): void {
  const id = createHash('sha256').update(name).digest('hex')
  const folder = join(home, '.docker/contexts/meta', id)
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'meta.json'),
    JSON.stringify({ Name: name, Endpoints: { docker: { Host: host } } }),
  )
}

async function found(environment: Record<string, string> = {}, host?: string): Promise<string> {
  const engine = await connectEngine({ host, environment: { HOME: home, ...environment } })
  engine.close()
  return engine.label
}

async function failure(environment: Record<string, string>, host?: string): Promise<OperatorError> {
  const error: unknown = await found(environment, host).catch((e: unknown) => e)
  if (!(error instanceof OperatorError)) throw new Error('it did not fail as it should', { cause: error })
  return error
}

describe('connectEngine', () => {
  it('takes the configured host first, then DOCKER_HOST, then the context', async () => {
    const [configured, named, context] = [
      await serve('configured'),
      await serve('named'),
      await serve('context'),
    ]
    writeContext('remote', `unix://${context}`)
    const environment = { DOCKER_HOST: `unix://${named}`, DOCKER_CONTEXT: 'remote' }
    expect(await found(environment, `unix://${configured}`)).toBe(`unix://${configured}`)
    expect(await found(environment)).toBe(`unix://${named}`)
    expect(await found({ ...environment, DOCKER_HOST: '' })).toBe(`unix://${context}`)
  })

  it("takes the current context of Docker's own config, which may be elsewhere", async () => {
    const context = await serve('context')
    writeContext('remote', `unix://${context}`)
    writeFileSync(join(home, '.docker/config.json'), '{"currentContext": "remote"}')
    expect(await found()).toBe(`unix://${context}`)
    expect(await found({ HOME: '/nowhere', DOCKER_CONFIG: join(home, '.docker') })).toBe(`unix://${context}`)
  })

  it('says when a context is not there or makes no sense', async () => {
    const error = await failure({ DOCKER_CONTEXT: 'nope' })
    expect(error.what).toContain('"nope"')
    expect(error.hint).toContain('docker context ls')
    writeContext('odd', 'gopher://x')
    expect((await failure({ DOCKER_CONTEXT: 'odd' })).what).toContain('not an address')
  })

  it('says when nothing listens, and how to start it', async () => {
    const missing = await failure({}, `unix://${home}/nothing`)
    expect(missing).toMatchObject({ exitCode: 69 })
    expect(missing.what).toContain('not running')
    expect(missing.hint).toContain('systemctl start docker')
    writeFileSync(join(home, 'file'), '')
    expect((await failure({}, `unix://${home}/file`)).what).toContain('not running')
    expect((await failure({ DOCKER_HOST: 'tcp://127.0.0.1:1' })).what).toContain('tcp://127.0.0.1:1')
  })

  it('says when something else listens', async () => {
    const other = await serve('other', (_request, response) => response.writeHead(404).end('not here'))
    expect((await failure({}, `unix://${other}`)).why).toContain('not here')
  })

  it('stops asking when told', async () => {
    const silent = await serve('silent', () => undefined)
    const signal = AbortSignal.timeout(50)
    const connecting = connectEngine({ host: `unix://${silent}`, environment: {}, signal })
    await expect(connecting).rejects.toThrow(/timeout/i)
  })
})
