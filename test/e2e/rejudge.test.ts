import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EmbeddedInfo } from '../../src/embedded/index.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage } from '../support/images.ts'
import { LocalClients } from '../support/local-clients.ts'
import { Workplace } from '../support/run-bin.ts'

const MATCH = '11111111-2222-3333-4444-555555555555'
const TEAM = 'Team#1'
const PROBLEM_IMAGE = 'opthub-runner-test/rejudge-problem'
const INDICATOR_IMAGE = 'opthub-runner-test/rejudge-indicator'

/** Fails for what it does not know yet. */
const PROBLEM = `read -r line || [ -n "$line" ]
case "$line$MENDED" in
  *odd\\") exit 1 ;;
  *) echo '{"objective": 1}' ;;
esac
`
/** The number of earlier trials. */
const INDICATOR = `read -r trial; read -r history
n=0
while [ "$history" != "\${history#*trial_no}" ]; do history=\${history#*trial_no}; n=$((n + 1)); done
echo "{\\"score\\": $n}"
`

function configOf(environment: string): string {
  return `wait_time: 1
matches:
  ${MATCH}:
    problem: {image: ${PROBLEM_IMAGE}, environment: {${environment}}}
    indicator: {image: ${INDICATOR_IMAGE}}
pull_policy: never
`
}

let engine: Engine | undefined

beforeAll(async () => {
  engine = await requireEngine()
  if (engine === undefined) return
  await buildShellImage(engine, PROBLEM_IMAGE, PROBLEM)
  await buildShellImage(engine, INDICATOR_IMAGE, INDICATOR)
})

afterAll(() => {
  engine?.close()
})

describe('rejudge', () => {
  it('mends what a broken image did, although it is killed again and again while runners work', async (test) => {
    if (engine === undefined) return test.skip()
    await using place = await Workplace.create(configOf(''))
    const local = place.start(['local', '--json'])
    await expect.poll(() => local.stdout(), { timeout: 30_000 }).toContain('\n')
    const clients = new LocalClients(JSON.parse(local.stdout()) as EmbeddedInfo)
    const startRunners = () =>
      (['evaluator', 'scorer'] as const).map((kind) =>
        place.start([kind, '--local', '--json', '--concurrency', '2']),
      )
    const stop = async (runners: ReturnType<typeof startRunners>): Promise<void> => {
      for (const run of runners) run.child.kill('SIGTERM')
      expect(await Promise.all(runners.map((run) => run.ended))).toEqual([0, 0])
    }
    /** TrialNo → score, or why there is none. */
    const scores = async (): Promise<Record<string, string>> => {
      const found: Record<string, string> = {}
      for (const series of ['Evaluations', 'Scores']) {
        for (const item of await clients.partition(`${series}#Match#${MATCH}#${TEAM}`)) {
          const trialNo = item['TrialNo']?.S
          if (trialNo === undefined) continue
          if (item['Status']?.S === 'Failed') found[trialNo] = `${series} failed`
          else if (series === 'Scores') found[trialNo] = item['Value']?.N ?? ''
        }
      }
      return found
    }

    const broken = startRunners()
    const variables = ['even', 'odd', 'even', 'odd', 'even']
    for (const [index, S] of variables.entries()) {
      await clients.putSolution(MATCH, TEAM, `0000${index + 1}`, { S })
    }
    await expect.poll(scores, { timeout: 90_000, interval: 200 }).toEqual({
      '00001': '0',
      '00002': 'Evaluations failed',
      '00003': '1',
      '00004': 'Evaluations failed',
      '00005': '2',
    })
    await stop(broken)

    await writeFile(join(place.folder, 'config.yml'), configOf('MENDED: yes'), { mode: 0o600 })
    const mended = startRunners()
    const args = [
      'rejudge',
      '--local',
      '--match',
      MATCH,
      '--participant',
      TEAM,
      '--failed',
      '--cascade',
      '--yes',
    ]
    let killed = 0
    for (let n = 0; n < 6; n += 1) {
      const run = place.start(args)
      await delay(250 + 60 * n)
      run.child.kill('SIGKILL')
      if ((await run.ended) === 'SIGKILL') killed += 1
    }
    expect(killed).toBeGreaterThan(0)
    await place.run(args)
    await expect.poll(scores, { timeout: 90_000, interval: 200 }).toEqual({
      '00001': '0',
      '00002': '1',
      '00003': '2',
      '00004': '3',
      '00005': '4',
    })
    // Those that were killed may have sent a message a second time, which finds its result.
    for (const kind of ['evaluator', 'scorer'] as const) {
      await expect
        .poll(() => clients.depth(clients.info.queues[kind]), { timeout: 30_000 })
        .toEqual({ waiting: 0, inFlight: 0 })
    }
    await stop(mended)
    // Five results and five flags each, nothing more.
    for (const series of ['Evaluations', 'Scores']) {
      expect(await clients.partition(`${series}#Match#${MATCH}#${TEAM}`)).toHaveLength(10)
    }
    clients.close()
  })
})
