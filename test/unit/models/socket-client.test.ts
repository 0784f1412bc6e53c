import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { kserveGrpc } from '../../../src/models/grpc/kserve-grpc.ts'
import { HttpClient } from '../../../src/models/http/client.ts'
import { connectSocketFile } from '../../../src/net/socket-file.ts'

const never = new AbortController().signal
let folder = ''
let socketPath = ''
let client: HttpClient
let servers: Server[] = []
/** Connections that came to any of the servers. */
let arrived = 0

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'opthub-runner-socket-'))
  socketPath = join(folder, 'model.sock')
  client = new HttpClient({ socketPath }, { maxBytes: 1000 })
  servers = []
  arrived = 0
})
afterEach(async () => {
  client.close()
  for (const server of servers) await close(server)
  await rm(folder, { recursive: true })
})

async function serve(path: string, text: string): Promise<Server> {
  const server = createServer((_request, response) => response.end(text))
  server.on('connection', () => (arrived += 1))
  await once(server.listen(path), 'listening')
  servers.push(server)
  return server
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

async function get(): Promise<string> {
  return (await client.request({ method: 'GET', path: '/' }, never)).body
}

/** What this process has open of the folder. */
function held(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`)
      return target.startsWith(folder) ? [target] : []
    } catch {
      return []
    }
  })
}

describe.runIf(process.platform === 'linux')('a client of a socket file', () => {
  it('speaks to the server behind it, over one connection', async () => {
    await serve(socketPath, 'here')
    expect([await get(), await get()]).toEqual(['here', 'here'])
    expect(arrived).toBe(1)
    await expect.poll(held).toEqual([])
  })

  it('finds a server that has made its socket anew', async () => {
    await close(await serve(socketPath, 'old'))
    await serve(socketPath, 'new')
    expect(await get()).toBe('new')
  })

  it('reaches one whose path is longer than a socket’s may be', async () => {
    const deep = join(folder, 'x'.repeat(120))
    await mkdir(deep)
    const short = join(folder, 's')
    await symlink(deep, short)
    await serve(join(short, 'model.sock'), 'deep')
    client = new HttpClient({ socketPath: join(deep, 'model.sock') }, { maxBytes: 1000 })
    expect(await get()).toBe('deep')
  })

  it('follows no link to a socket', async () => {
    const other = join(folder, 'other.sock')
    await serve(other, 'secret')
    await symlink(other, socketPath)
    await expect(get()).rejects.toMatchObject({ type: 'model_unavailable' })
    expect(() => connectSocketFile(socketPath)).toThrow('no socket')
    expect(arrived).toBe(0)
    await expect.poll(held).toEqual([])
  })

  it.each([
    ['nothing', () => Promise.resolve()],
    ['a file', () => writeFile(socketPath, '')],
    ['a folder', () => mkdir(socketPath)],
    ['a pipe', () => Promise.resolve(execFileSync('mkfifo', [socketPath]))],
    ['a link to nothing', () => symlink(join(folder, 'none'), socketPath)],
    // Killed, so that its file stays.
    ['the socket of a dead server', () => leaveSocket()],
  ])('says that nobody is there where there is %s', async (_what, put) => {
    await put()
    await expect(get()).rejects.toMatchObject({ type: 'model_unavailable' })
    await expect.poll(held).toEqual([])
  })

  function leaveSocket(): Promise<void> {
    const script = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
    expect(() => execFileSync(process.execPath, ['-e', script, socketPath])).toThrow()
    return Promise.resolve()
  }

  it('is none of gRPC', () => {
    expect(() => kserveGrpc.connect({ socketPath }, { maxBytes: 1000 })).toThrow('run already')
  })
})
