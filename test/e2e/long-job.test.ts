import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { GetItemCommand } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { embeddedFolder, openEmbedded } from '../../src/embedded/index.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage } from '../support/images.ts'
import { LocalClients } from '../support/local-clients.ts'
import { type Run, Workplace } from '../support/run-bin.ts'

const IMAGE = 'opthub-runner-test/e2e-long'
const MATCH = '11111111-2222-3333-4444-666666666666'
/** The longest time that a message can be held, in seconds; SQS has 12 hours. */
const CAP = 12
const JOB = 3 * CAP

const CONFIG = `wait_time: 1
visibility_timeout: 4
heartbeat_interval: 1
handover_after: 8
shutdown_grace: 60
pull_policy: never
matches:
  ${MATCH}: {problem: {image: ${IMAGE}}}
`

let engine: Engine | undefined

beforeAll(async () => {
  engine = await requireEngine()
  if (engine === undefined) return
  await buildShellImage(engine, IMAGE, `read -r line; sleep ${JOB}; echo '{"objective": 4.5}'`)
})

afterAll(() => {
  engine?.close()
})

function started(run: Run): boolean {
  return run.records().some(({ msg }) => msg === 'Job started')
}

async function until(what: string, isSo: () => boolean | Promise<boolean>, seconds: number): Promise<void> {
  for (let n = 0; n < seconds * 10; n += 1) {
    if (await isSo()) return
    await delay(100)
  }
  throw new Error(`It took longer than ${seconds} s: ${what}`)
}

describe('a job three times as long as a message can be held', () => {
  it('is recorded once, across hand-overs, though its runner is killed in one of them', async (context) => {
    if (engine === undefined) return context.skip()
    await using place = await Workplace.create(CONFIG)
    const home = join(place.folder, 'home')
    await mkdir(home, { mode: 0o700 })
    const embedded = await openEmbedded({
      dataDir: embeddedFolder(home),
      log: createLogger(() => undefined),
      maxVisibilityRenewalSeconds: CAP,
    })
    try {
      const clients = new LocalClients(embedded.info)
      const { leaseTable, queues, table } = embedded.info
      const readLease = async (): Promise<string | undefined> => {
        const Key = { ID: { S: `Leases#evaluator#${MATCH}#Team#1#00001` }, Trial: { S: 'Lease' } }
        const { Item } = await clients.dynamodb.send(
          new GetItemCommand({ TableName: leaseTable, Key, ConsistentRead: true }),
        )
        return Item?.['Token']?.S
      }
      const first = place.start(['evaluator', '--local', '--json', '--process-name', 'first'])
      await clients.putSolution(MATCH, 'Team#1', '00001', { L: [{ N: '1' }] })
      await until('the job starts', () => started(first), 30)
      const second = place.start(['evaluator', '--local', '--json', '--process-name', 'second'])
      let owner: string | undefined
      await until(
        'the record takes the place of the message',
        async () => (owner = await readLease()) !== undefined,
        20,
      )
      first.child.kill('SIGKILL')
      await until('the second runner takes the job over', () => started(second), 40)
      expect(await readLease()).not.toBe(owner)
      const Key = { ID: { S: `Evaluations#Match#${MATCH}#Team#1` }, Trial: { S: 'Success#00001' } }
      await until(
        'the result is there',
        async () => {
          const { Item } = await clients.dynamodb.send(
            new GetItemCommand({ TableName: table, Key, ConsistentRead: true }),
          )
          return Item?.['Objective']?.N === '4.5'
        },
        JOB + 40,
      )
      expect(await readLease()).toBeUndefined()
      await until(
        'no message is left',
        async () => {
          const { waiting, inFlight } = await clients.depth(queues.evaluator)
          return waiting + inFlight === 0
        },
        30,
      )
      const outcomes = second.records().flatMap(({ msg, outcome }) => (msg === 'Job ended' ? [outcome] : []))
      // Later copies of the message find the result.
      expect(new Set(outcomes)).toEqual(new Set(['succeeded', 'settled']))
      expect(outcomes.filter((outcome) => outcome === 'succeeded')).toHaveLength(1)
      second.child.kill('SIGTERM')
      expect(await second.ended).toBe(0)
      // A result that is there is never written again.
      const Item = { ...Key, Trial: { S: 'Failed#00001' } }
      expect(
        (await clients.dynamodb.send(new GetItemCommand({ TableName: table, Key: Item }))).Item,
      ).toBeUndefined()
      clients.close()
    } finally {
      await embedded.close()
    }
  })
})
