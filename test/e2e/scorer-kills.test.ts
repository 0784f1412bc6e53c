import { SetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { PutItemCommand } from '@aws-sdk/client-dynamodb'
import { createHash, randomInt } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { openEmbedded } from '../../src/embedded/index.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { awsSettings, toYaml } from '../support/aws-settings.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage } from '../support/images.ts'
import { LocalClients, type RawItem } from '../support/local-clients.ts'
import { Workplace } from '../support/run-bin.ts'

// As test/integration/scorer does without processes and containers, for more trials; here both are real.

const IMAGE = 'opthub-runner-test/e2e-scorer-kills:1'
const MATCH = '11111111-2222-3333-4444-555555555555'
const COUNT = 30
const KILLS = 8

/** Its score depends on every byte of its input. */
const INDICATOR = `all=$(cat); h=$(printf %s "$all" | md5sum | head -c 7); printf '{"score": %d}' "0x$h"`

let engine: Engine | undefined

beforeAll(async () => {
  engine = await requireEngine()
  if (engine !== undefined) await buildShellImage(engine, IMAGE, INDICATOR)
})
afterAll(() => {
  engine?.close()
})

const numbers = Array.from({ length: COUNT }, (_, index) => index + 1)
const failsAt = (number: number): boolean => number % 13 === 5
const trialNoOf = (number: number): string => String(number).padStart(5, '0')
const partition = (series: string): string => `${series}#Match#${MATCH}#Team#1`

function solution(number: number): RawItem {
  const trialNo = trialNoOf(number)
  return {
    ID: { S: partition('Solutions') },
    Trial: { S: trialNo },
    TrialNo: { S: trialNo },
    CreatedAt: { S: new Date().toISOString() },
    Variable: { N: String(number) },
    IgnoreStream: { BOOL: true },
  }
}

/** What an evaluator leaves of a trial: its result and its flag. */
function evaluation(number: number): RawItem[] {
  const trialNo = trialNoOf(number)
  const [ID, IgnoreStream] = [{ S: partition('Evaluations') }, { BOOL: true }]
  const status = failsAt(number) ? 'Failed' : 'Success'
  const result = {
    Objective: { N: String(number) },
    Constraint: { NULL: true },
    Info: { M: {} },
    Feasible: { NULL: true },
  }
  const item = { ID, IgnoreStream, Trial: { S: `${status}#${trialNo}` }, TrialNo: { S: trialNo } }
  return [
    { ...item, ...(failsAt(number) ? {} : result), CreatedAt: { S: new Date().toISOString() } },
    { ID, IgnoreStream, Trial: { S: trialNo } },
  ]
}

/** What one scorer after the other gives, each knowing the scores before it. */
function scoresInOrder(): Map<string, number> {
  const history: string[] = []
  const scores = new Map<string, number>()
  for (const number of numbers.filter((each) => !failsAt(each))) {
    const result = `"objective": ${number}.0, "constraint": null, "info": {}, "feasible": null`
    const input = `{${result}}\n[${history.join(', ')}]`
    const score = Number.parseInt(createHash('md5').update(input).digest('hex').slice(0, 7), 16)
    scores.set(trialNoOf(number), score)
    history.push(`{"trial_no": "${trialNoOf(number)}", ${result}, "score": ${score}.0}`)
  }
  return scores
}

test.each([true, false])('two scorers that are killed again and again, ordered: %s', async (ordered) => {
  if (engine === undefined) return
  await using place = await Workplace.create()
  const dataDir = join(place.folder, 'aws')
  const embedded = await openEmbedded({ dataDir, log: createLogger(() => undefined) })
  const clients = new LocalClients(embedded.info)
  const { queues, table: TableName } = embedded.info
  // Each kill costs a receive of all that the killed one held.
  const Attributes = { RedrivePolicy: '' }
  await clients.sqs.send(new SetQueueAttributesCommand({ QueueUrl: queues.scorer, Attributes }))
  await writeFile(
    join(place.folder, 'config.yml'),
    toYaml({
      ...awsSettings(embedded.info),
      ...{ wait_time: 1, interval: 0, visibility_timeout: 6, heartbeat_interval: 1.5 },
      ...{ ordered, pull_policy: 'never', matches: { [MATCH]: { indicator: { image: IMAGE } } } },
    }),
  )
  const put = async (Item: RawItem): Promise<void> => {
    await clients.dynamodb.send(new PutItemCommand({ TableName, Item }))
  }
  for (const number of numbers) await put(solution(number))

  let kills = 0
  let finish = (): void => undefined
  const finished = new Promise<void>((resolve) => (finish = resolve))
  const problems: unknown[] = []
  async function keepRunning(name: string): Promise<void> {
    for (;;) {
      const run = place.start(['scorer', '--json', '--process-name', name, '--concurrency', '2'])
      const isLast = kills >= KILLS
      kills += 1
      await (isLast ? finished : delay(randomInt(900, 4000)))
      run.child.kill(isLast ? 'SIGTERM' : 'SIGKILL')
      expect(await run.ended, run.stderr()).toBe(isLast ? 0 : 'SIGKILL')
      problems.push(...run.records().filter(({ level }) => level === 'ERROR' || level === 'CRITICAL'))
      if (isLast) return
    }
  }
  const running = Promise.all(['one', 'two'].map(keepRunning))
  const shuffled = numbers.map((number) => ({ number, key: Math.random() })).sort((a, b) => a.key - b.key)
  for (const { number } of shuffled) {
    for (const item of evaluation(number)) await put(item)
    const message = { MatchID: MATCH, ParticipantID: 'Team#1', TrialNo: trialNoOf(number) }
    for (let n = failsAt(number) ? 2 : number % 7 === 0 ? 0 : 1; n < 2; n += 1)
      await clients.send('scorer', JSON.stringify(message))
    await delay(50)
  }
  const expected = scoresInOrder()
  await expect
    .poll(async () => (await clients.partition(partition('Scores'))).length, {
      timeout: 280_000,
      interval: 500,
    })
    .toBe(2 * expected.size)
  await expect
    .poll(() => clients.depth(queues.scorer), { timeout: 60_000, interval: 500 })
    .toEqual({ waiting: 0, inFlight: 0 })
  finish()
  await running
  const results = (await clients.partition(partition('Scores'))).filter(({ Trial }) =>
    Trial?.S?.includes('#'),
  )
  const scores = new Map(
    results.map(({ Trial, Value }) => [Trial?.S?.replace('Success#', ''), Number(Value?.N)]),
  )
  if (ordered) expect(scores).toEqual(expected)
  // In whatever order: none failed, and none has two.
  else expect(new Set(scores.keys())).toEqual(new Set(expected.keys()))
  expect(results).toHaveLength(expected.size)
  expect(problems).toEqual([])
  clients.close()
  await embedded.close()
})
