import { once } from 'node:events'
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
