import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { expect, it } from 'vitest'
import { Engine } from '../../../../src/executors/docker/api/engine.ts'

it('survives a stream that breaks before anybody reads it, and tells who reads it later', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  server.on('upgrade', (_request, socket: Socket) => {
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
    setTimeout(() => socket.resetAndDestroy(), 20)
  })
  await once(server, 'listening')
  const engine = new Engine({ hostname: '127.0.0.1', port: (server.address() as AddressInfo).port })
  try {
    const stream = await engine.hijack('/containers/x/attach')
    const closed = new Promise((resolve) => stream.once('close', resolve))
    stream.resume()
    await closed
    await expect(stream.toArray()).rejects.toThrow('ECONNRESET')
  } finally {
    engine.close()
    server.close()
  }
})

it.skipIf(process.platform !== 'linux')('has the kernel try a stream that is silent', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  server.on('upgrade', (_request, socket: Socket) => {
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
  })
  await once(server, 'listening')
  const engine = new Engine({ hostname: '127.0.0.1', port: (server.address() as AddressInfo).port })
  try {
    const stream = await engine.hijack('/containers/x/attach')
    expect(timerOf(stream)).toBe('02')
    stream.destroy()
  } finally {
    engine.close()
    server.closeAllConnections()
    server.close()
  }
})

/** What the kernel waits for on a connection (see `man 5 proc`): 02 = its time to ask whether the other end lives. */
function timerOf({ localPort = 0 }: Socket): string | undefined {
  const port = localPort.toString(16).toUpperCase().padStart(4, '0')
  const line = readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .find((each) => each.includes(`: 0100007F:${port} `))
  return line?.trim().split(/\s+/)[5]?.split(':')[0]
}
