import { spawn } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { systemClock } from '../src/core/clock.ts'
import { createLogger } from '../src/core/log.ts'
import { openEmbedded } from '../src/embedded/index.ts'
import { printTable, type Print } from './measure.ts'

const WATCH_MS = 120_000

/** What a runner costs that has nothing to do: requests, memory, processor time. */
export async function benchIdle(print: Print): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'opthub-runner-bench-'))
  // Served from this very process, where requests can be counted.
  const embedded = await openEmbedded({ dataDir: join(home, 'served'), log: createLogger(() => undefined) })
  const { info } = embedded
  let requests = 0
  const count = (): void => {
    requests += 1
  }
  subscribe('http.server.request.start', count)
  const config = join(home, 'config.yml')
  const { queues, region, accessKeyId, secretAccessKey, table } = info
  const text = JSON.stringify({
    evaluator_queue_url: queues.evaluator,
    table_name: table,
    region_name: region,
    access_key_id: accessKeyId,
    secret_access_key: secretAccessKey,
    endpoint_url: info.endpoints,
    matches: { '*': { problem: { image: 'problem' } } },
  })
  await writeFile(config, text, { mode: 0o600 })
  const bin = resolve(process.cwd(), 'bin/opthub-runner.js')
  const child = spawn(process.execPath, [bin, 'evaluator', '--config', config, '--process-name', 'idle'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, OPTHUB_RUNNER_HOME: join(home, 'runner') },
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
    printTable(print, ['watched', 'requests a minute', 'CPU a minute', 'RSS'], [row])
  } finally {
    unsubscribe('http.server.request.start', count)
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
    await embedded.close()
    await rm(home, { recursive: true })
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
