import { SetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { randomInt } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { openEmbedded } from '../../src/embedded/index.ts'
import { importHostLanguage } from '../../src/executors/docker/images/host-languages.ts'
import { awsSettings, toYaml } from '../support/aws-settings.ts'
import { requireEngine } from '../support/engine.ts'
import { LocalClients } from '../support/local-clients.ts'
import { Workplace } from '../support/run-bin.ts'

const TAG = 'opthub-runner-test/e2e-python:1'
/** By hand: CODE_EXEC_JOBS=1000 */
const COUNT = Number(process.env['CODE_EXEC_JOBS'] ?? 60)
const KILLS = Math.ceil(COUNT / 8)

const engine = await requireEngine()

beforeAll(async () => {
  if (engine !== undefined)
    await importHostLanguage(engine, 'python', { tag: TAG, nodePath: process.execPath })
})
afterAll(() => {
  engine?.close()
})

/** A program, and what must come of it: each sort of end that needs no long wait. */
function job(n: number): { code: string; expected: Record<string, unknown> } {
  const ends = [
    { code: `print(${n} * 7)`, expected: { Status: { S: 'success' }, Stdout: { S: `${n * 7}\n` } } },
    { code: `print(${n}); exit(3)`, expected: { Status: { S: 'runtime_error' }, ExitCode: { N: '3' } } },
    {
      code: `import os; print(${n}, flush=True); os.kill(os.getpid(), 11)`,
      expected: { Status: { S: 'signaled' }, Signal: { S: 'SIGSEGV' }, Stdout: { S: `${n}\n` } },
    },
    { code: `print(input() + str(${n}))`, expected: { Status: { S: 'success' }, Stdout: { S: `in${n}\n` } } },
  ]
  return ends[n % ends.length] ?? { code: '', expected: {} }
}

test(
  'three runners that are killed again and again give each program its one right result',
  async () => {
    if (engine === undefined) return
    await using place = await Workplace.create()
    const dataDir = join(place.folder, 'aws')
    const embedded = await openEmbedded({ dataDir, log: createLogger(() => undefined) })
    const clients = new LocalClients(embedded.info)
    const queueUrl = embedded.info.queues['code-exec']
    // Each kill costs a receive of all that the killed one held.
    await clients.sqs.send(
      new SetQueueAttributesCommand({ QueueUrl: queueUrl, Attributes: { RedrivePolicy: '' } }),
    )
    await writeFile(
      join(place.folder, 'config.yml'),
      toYaml({
        ...awsSettings(embedded.info),
        ...{
          wait_time: 1,
          interval: 0,
          visibility_timeout: 6,
          heartbeat_interval: 1.5,
          max_receive_count: 0,
        },
        pull_policy: 'never',
        code_exec: { queue_url: queueUrl, languages: { python: { image: TAG } } },
      }),
    )
    let kills = 0
    let finish = (): void => undefined
    const finished = new Promise<void>((resolve) => (finish = resolve))
    const problems: unknown[] = []
    async function keepRunning(name: string): Promise<void> {
      for (;;) {
        const run = place.start(['code-exec', '--json', '--process-name', name, '--concurrency', '2'])
        const isLast = kills >= KILLS
        kills += 1
        await (isLast ? finished : delay(randomInt(1200, 4000)))
        run.child.kill(isLast ? 'SIGTERM' : 'SIGKILL')
        expect(await run.ended, run.stderr()).toBe(isLast ? 0 : 'SIGKILL')
        problems.push(...run.records().filter(({ level }) => level === 'ERROR' || level === 'CRITICAL'))
        if (isLast) return
      }
    }
    const running = Promise.all(['one', 'two', 'three'].map(keepRunning))
    for (let n = 0; n < COUNT; n += 1) {
      const body = JSON.stringify({ id: `run-${n}`, language: 'python', code: job(n).code, stdin: 'in\n' })
      await clients.send('code-exec', body)
      // At-least-once delivery hands some out twice.
      if (n % 9 === 0) await clients.send('code-exec', body)
    }
    await expect
      .poll(() => clients.depth(queueUrl), { timeout: 60_000 + COUNT * 3000, interval: 500 })
      .toEqual({ waiting: 0, inFlight: 0 })
    finish()
    await running
    const wrong: unknown[] = []
    for (let n = 0; n < COUNT; n += 1) {
      const items = await clients.partition(`CodeExecs#run-${n}`)
      const { expected } = job(n)
      const isRight = Object.entries(expected).every(
        ([key, value]) => JSON.stringify(items[0]?.[key]) === JSON.stringify(value),
      )
      if (items.length !== 1 || !isRight) wrong.push({ n, expected, items })
    }
    expect(wrong).toEqual([])
    expect(problems).toEqual([])
    clients.close()
    await embedded.close()
  },
  120_000 + COUNT * 4000,
)
