import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { main } from '../../../src/cli/main.ts'
import { FakeIo } from '../../support/fake-io.ts'

test('a stop while OptHub leaves the login without an answer ends with 0: no job was taken', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'opthub-stop-'))
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
  }).listen(0, '127.0.0.1')
  server.once('connection', () => {
    io.signal('SIGTERM')
  })
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await rm(folder, { recursive: true, force: true })
  })
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const config = join(folder, 'config.yml')
  const settings = {
    evaluator_queue_url: 'http://127.0.0.1:9/queue',
    table_name: 'table',
    region_name: 'us-east-1',
    access_key_id: 'id',
    secret_access_key: 'secret',
    endpoint_url: 'http://127.0.0.1:9',
    opthub: {
      api_url: `${url}/graphql`,
      cognito_url: url,
      user_pool_id: 'us-east-1_pool',
      client_id: 'client',
    },
  }
  await writeFile(config, JSON.stringify(settings), { mode: 0o600 })
  const io = new FakeIo({
    environment: {
      OPTHUB_RUNNER_HOME: join(folder, 'home'),
      OPTHUB_PROCESS_NAME: 'p',
      OPTHUB_USERNAME: 'alice',
      OPTHUB_PASSWORD: 'correct horse',
      DOCKER_HOST: `unix://${join(folder, 'none.sock')}`,
    },
  })
  const code = await main(['evaluator', '--config', config], io)
  expect(io.stderr.text).not.toContain('✖')
  expect(code).toBe(0)
})
