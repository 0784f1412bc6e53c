import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { systemClock } from '../src/core/clock.ts'
import { printTable, type Print } from './measure.ts'
import { Stage } from './stage.ts'

const WATCH_MS = 120_000

/** What a runner costs that has nothing to do: requests, memory, processor time. */
export async function benchIdle(print: Print): Promise<void> {
  await using stage = await Stage.open()
  let requests = 0
  const { sqs, dynamodb } = stage.info.endpoints
  await using front = await countingFront(sqs, () => (requests += 1))
  const config = join(stage.home, 'config.yml')
  const { queues, region, accessKeyId, secretAccessKey, table } = stage.info
  const text = JSON.stringify({
    evaluator_queue_url: queues.evaluator,
    table_name: table,
    region_name: region,
    access_key_id: accessKeyId,
    secret_access_key: secretAccessKey,
    endpoint_url: { sqs: front.url, dynamodb },
    matches: { '*': { problem: { image: 'problem' } } },
  })
  await writeFile(config, text, { mode: 0o600 })
  const bin = resolve(process.cwd(), 'bin/opthub-runner.js')
  const child = spawn(process.execPath, [bin, 'evaluator', '--config', config, '--process-name', 'idle'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, OPTHUB_RUNNER_HOME: join(stage.home, 'runner') },
  })
  try {
    await ready(child.stderr)
    await systemClock.sleep(5000)
    requests = 0
    const cpuBefore = await cpuMs(child.pid)
    await systemClock.sleep(WATCH_MS)
    const minutes = WATCH_MS / 60_000
    const row = [
      `${WATCH_MS / 1000} s`,
      (requests / minutes).toFixed(1),
      `${(((await cpuMs(child.pid)) - cpuBefore) / minutes).toFixed(0)} ms`,
      `${((await rssBytes(child.pid)) / 1024 ** 2).toFixed(0)} MiB`,
    ]
    printTable(print, ['watched', 'requests to SQS a minute', 'CPU a minute', 'RSS'], [row])
  } finally {
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
  }
}

async function ready(stderr: NodeJS.ReadableStream): Promise<void> {
  let text = ''
  for await (const part of stderr) {
    text += String(part)
    if (text.includes('Ready')) {
      stderr.resume()
      return
    }
  }
  throw new Error(`The runner did not start:\n${text}`)
}

/** Passes everything on to `target`, and counts. */
async function countingFront(target: string, count: () => void) {
  const server = http.createServer((request, response) => {
    count()
    const { hostname, port } = new URL(target)
    const forward = http.request(
      { hostname, port, method: request.method, path: request.url, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      },
    )
    forward.on('error', () => response.destroy())
    request.pipe(forward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Linux only. */
async function cpuMs(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // utime and stime, in hundredths of a second.
  return (Number(fields[11]) + Number(fields[12])) * 10
}

async function rssBytes(pid: number | undefined): Promise<number> {
  const pages = (await readFile(`/proc/${pid}/statm`, 'utf8')).split(' ')[1]
  return Number(pages) * 4096
}
