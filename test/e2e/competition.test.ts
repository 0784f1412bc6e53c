import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EmbeddedInfo } from '../../src/embedded/index.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage } from '../support/images.ts'
import { LocalClients, type RawItem } from '../support/local-clients.ts'
import { type Run, Workplace } from '../support/run-bin.ts'

/** A problem that behaves as its solution tells it to. */
const PROBLEM = `read -r line || [ -n "$line" ]
echo "log: $line" >&2
case "$line" in
  *'"numbers"'*) echo 'chatter'; printf '%s' '{"objective": [1e22, 0.1, 12345678901234567890, -1.5e-300, NaN, Infinity, 1.2345678901234567890123456789012345678], "constraint": null, "info": {"ok": true, "none": null}, "feasible": true}' ;;
  *'"error"'*) echo '{"objective": null, "error": ""}' ;;
  *'"nothing"'*) ;;
  *'"half"'*) printf '{"objective": 1' ;;
  *'"flood"'*) yes 0123456789012345678901234567890123456789012345678901234567890123 ;;
  *'"exit3"'*) echo 'broken' >&2; exit 3 ;;
  *'"exit3fit"'*) echo '{"objective": 3}'; exit 3 ;;
  *'"never"'*) trap '' TERM; while :; do sleep 1; done ;;
  *'"forks"'*) sleep 1000 & sleep 1000 & echo '{"objective": 4}' ;;
  *) echo '{"objective": 2.5}' ;;
esac
`
const IGNORES_INPUT = `echo '{"objective": 7}'`
const INDICATOR = `read -r trial; read -r history
n=0
while [ "$history" != "\${history#*trial_no}" ]; do history=\${history#*trial_no}; n=$((n + 1)); done
echo "{\\"score\\": $n}"
`
const MATCH = '11111111-2222-3333-4444-555555555555'
const DEAF = '99999999-2222-3333-4444-555555555555'

const CONFIG = `wait_time: 2
heartbeat_interval: 5
stop_grace: 1
max_total_output: 20 MiB
shutdown_grace: 60
matches:
  ${MATCH}:
    problem: {image: opthub-runner-test/e2e-problem, timeout: 4}
    indicator: {image: opthub-runner-test/e2e-indicator}
  ${DEAF}:
    problem: {image: opthub-runner-test/e2e-deaf}
    indicator: {image: opthub-runner-test/e2e-indicator}
pull_policy: never
`

let engine: Engine | undefined

beforeAll(async () => {
  engine = await requireEngine()
  if (engine === undefined) return
  await buildShellImage(engine, 'opthub-runner-test/e2e-problem', PROBLEM)
  await buildShellImage(engine, 'opthub-runner-test/e2e-deaf', IGNORES_INPUT)
  await buildShellImage(engine, 'opthub-runner-test/e2e-indicator', INDICATOR)
})

afterAll(() => {
  engine?.close()
})

async function openLocal(place: Workplace): Promise<LocalClients> {
  const local = place.start(['local', '--json'])
  await expect.poll(() => local.stdout(), { timeout: 30_000 }).toContain('\n')
  return new LocalClients(JSON.parse(local.stdout()) as EmbeddedInfo)
}

async function containersOf(processName: string): Promise<unknown[]> {
  const filters = JSON.stringify({ label: [`org.opthub.runner.process=${processName}`] })
  return (await engine?.json('GET', '/containers/json', { query: { all: 'true', filters } })) as unknown[]
}

const evaluations = (participant: string, match = MATCH): string =>
  `Evaluations#Match#${match}#${participant}`
const scores = (participant: string, match = MATCH): string => `Scores#Match#${match}#${participant}`

/** Waits until a trial has its flag, and returns its result item. */
async function resultOf(clients: LocalClients, id: string, trial: string): Promise<RawItem> {
  await expect.poll(() => clients.get(id, trial), { timeout: 90_000, interval: 200 }).toBeDefined()
  const items = await clients.partition(id)
  const found = items.filter(
    (item) => /^(Success|Failed)#/.test(item['Trial']?.S ?? '') && item['TrialNo']?.S === trial,
  )
  expect(found).toHaveLength(1)
  return found[0] ?? {}
}

async function endedWell(runs: readonly Run[]): Promise<void> {
  for (const run of runs) run.child.kill('SIGTERM')
  expect(await Promise.all(runs.map((run) => run.ended))).toEqual(runs.map(() => 0))
}

describe('evaluator and scorer from the command line', () => {
  it('judge good, bad and hostile trials, each message three times, with two runners on each queue', async (test) => {
    if (engine === undefined) return test.skip()
    await using place = await Workplace.create(CONFIG)
    const clients = await openLocal(place)
    const names = ['a', 'b', 'c', 'd'].map((letter) => `e2e-${letter}-${crypto.randomUUID()}`)
    const runners = names.map((name, index) =>
      place.start([
        index < 2 ? 'evaluator' : 'scorer',
        '--local',
        '--json',
        '--concurrency',
        '2',
        '--process-name',
        name,
      ]),
    )
    await clients.send('evaluator', 'this is not JSON')
    await clients.send('evaluator', '{"MatchID": "x"}')

    const behaviours = [
      'numbers',
      'good',
      'error',
      'nothing',
      'half',
      'flood',
      'exit3',
      'exit3fit',
      'never',
      'forks',
    ]
    for (const [index, behaviour] of behaviours.entries()) {
      const trialNo = String(index + 1).padStart(5, '0')
      await clients.putSolution(MATCH, 'Team#1', trialNo, { M: { do: { S: behaviour } } })
      const body = JSON.stringify({ MatchID: MATCH, ParticipantID: 'Team#1', TrialNo: trialNo })
      await clients.send('evaluator', body)
      await clients.send('evaluator', body)
    }
    await clients.putSolution(DEAF, 'Team#1', '00001', { S: 'x'.repeat(300_000) })

    const results = new Map<string, RawItem>()
    for (const [index, behaviour] of behaviours.entries()) {
      results.set(
        behaviour,
        await resultOf(clients, evaluations('Team#1'), String(index + 1).padStart(5, '0')),
      )
    }
    const errorOf = (behaviour: string): string | undefined => results.get(behaviour)?.['ErrorMessage']?.S

    const numbers = results.get('numbers') ?? {}
    expect(Object.keys(numbers).sort()).toEqual(
      'Constraint CreatedAt Feasible FinishedAt ID IgnoreStream Info MatchID Objective ParticipantID ResourceType StartedAt Status Trial TrialNo'.split(
        ' ',
      ),
    )
    expect(numbers).toMatchObject({
      ID: { S: evaluations('Team#1') },
      Trial: { S: 'Success#00001' },
      TrialNo: { S: '00001' },
      ResourceType: { S: 'Evaluation' },
      MatchID: { S: `Match#${MATCH}` },
      ParticipantID: { S: 'Team#1' },
      Status: { S: 'Success' },
      Constraint: { NULL: true },
      Info: { M: { ok: { BOOL: true }, none: { NULL: true } } },
      Feasible: { BOOL: true },
      IgnoreStream: { BOOL: false },
      Objective: {
        L: [
          { N: '10000000000000000000000' },
          { N: '0.1' },
          { N: '12345678901234567890' },
          { N: '0' },
          { NULL: true },
          { N: `${'9'.repeat(38)}${'0'.repeat(88)}` },
          { N: '1.2345678901234567890123456789012345678' },
        ],
      },
    })
    for (const key of ['CreatedAt', 'StartedAt', 'FinishedAt']) {
      expect(numbers[key]?.S).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    }
    expect(await clients.get(evaluations('Team#1'), '00001')).toEqual({
      ID: { S: evaluations('Team#1') },
      Trial: { S: '00001' },
      IgnoreStream: { BOOL: true },
    })

    expect(results.get('good')?.['Objective']).toEqual({ N: '2.5' })
    expect(results.get('forks')?.['Objective']).toEqual({ N: '4' })
    expect(results.get('exit3fit')?.['Objective']).toEqual({ N: '3' })
    expect(errorOf('error')).toBe('')
    expect(errorOf('exit3')).toMatch(/\b3\b/)
    expect(errorOf('exit3')).not.toContain('broken')
    expect(results.get('exit3')?.['AdminErrorMessage']?.S).toContain('broken')
    for (const behaviour of ['nothing', 'half', 'flood', 'never']) {
      expect(results.get(behaviour)?.['Status']).toEqual({ S: 'Failed' })
      expect(errorOf(behaviour)).toMatch(/^[^\n]{10,200}$/)
    }
    expect((await resultOf(clients, evaluations('Team#1', DEAF), '00001'))['Objective']).toEqual({ N: '7' })

    // Each score knows exactly the successful trials before it, whatever the order they were evaluated in.
    const successes = ['numbers', 'good', 'exit3fit', 'forks']
    for (const [before, behaviour] of successes.entries()) {
      const trialNo = String(behaviours.indexOf(behaviour) + 1).padStart(5, '0')
      expect((await resultOf(clients, scores('Team#1'), trialNo))['Value']).toEqual({ N: String(before) })
    }
    expect(await clients.partition(scores('Team#1'))).toHaveLength(2 * successes.length)

    // Duplicates go too; what can't be read stays in flight, on its way to the dead-letter queue.
    await expect
      .poll(() => clients.depth(clients.info.queues.evaluator), { timeout: 60_000, interval: 500 })
      .toEqual({ waiting: 0, inFlight: 2 })
    await expect
      .poll(() => clients.depth(clients.info.queues.scorer), { timeout: 60_000, interval: 500 })
      .toEqual({ waiting: 0, inFlight: 0 })
    await endedWell(runners)
    for (const name of names) expect(await containersOf(name)).toEqual([])
    const unexpected = runners
      .flatMap((run) => run.records())
      .filter(
        (record) => record['level'] === 'ERROR' && !String(record['msg']).startsWith('Unreadable message'),
      )
    expect(unexpected).toEqual([])
    clients.close()
  })

  it('keeps a container under rm: false, and logs the command that shows its output', async (test) => {
    if (engine === undefined) return test.skip()
    await using place = await Workplace.create(CONFIG)
    const clients = await openLocal(place)
    await clients.putSolution(MATCH, 'Team#1', '00001', { S: 'good' })
    const name = `e2e-${crypto.randomUUID()}`
    const run = place.start(['evaluator', '--local', '--json', '--once', '--no-rm', '--process-name', name])
    expect(await run.ended).toBe(0)
    const [command] = /docker logs [\w.-]+/.exec(run.stderr()) ?? []
    expect(command).toBeDefined()
    const container = command?.split(' ')[2] ?? ''
    try {
      const log = await engine.open('GET', `/containers/${container}/logs`, {
        query: { stdout: 'true', stderr: 'true' },
      })
      let text = ''
      for await (const chunk of log) text += String(chunk)
      expect(text).toContain('{"objective": 2.5}')
      expect(text).toContain('log: "good"')
    } finally {
      await engine.json('DELETE', `/containers/${container}`, { query: { force: 'true', v: 'true' } })
    }
    clients.close()
  })

  it('puts the message back, records nothing and leaves no container on a second signal', async (test) => {
    if (engine === undefined) return test.skip()
    await using place = await Workplace.create(CONFIG.replace('timeout: 4', 'timeout: 600'))
    const clients = await openLocal(place)
    await clients.putSolution(MATCH, 'Team#1', '00001', { M: { do: { S: 'never' } } })
    const name = `e2e-${crypto.randomUUID()}`
    const run = place.start(['evaluator', '--local', '--json', '--process-name', name])
    await expect.poll(() => containersOf(name), { timeout: 60_000, interval: 200 }).toHaveLength(1)
    run.child.kill('SIGTERM')
    await expect.poll(() => run.stderr(), { timeout: 30_000 }).toMatch(/"msg":"[^"]*[Ss]topping/)
    run.child.kill('SIGTERM')
    expect(await run.ended).toBe(128 + 15)
    expect(await containersOf(name)).toEqual([])
    expect(await clients.depth(clients.info.queues.evaluator)).toEqual({ waiting: 1, inFlight: 0 })
    expect(await clients.partition(evaluations('Team#1'))).toEqual([])
    clients.close()
  })

  it('finishes on another runner what a killed one has begun, and removes its container', async (test) => {
    if (engine === undefined) return test.skip()
    const slow = CONFIG.replace('wait_time: 2', 'wait_time: 1\nvisibility_timeout: 6').replace(
      'heartbeat_interval: 5',
      'heartbeat_interval: 1',
    )
    await using place = await Workplace.create(slow)
    const clients = await openLocal(place)
    await clients.putSolution(MATCH, 'Team#1', '00001', { M: { do: { S: 'never' } } })
    const victim = `e2e-${crypto.randomUUID()}`
    const first = place.start(['evaluator', '--local', '--json', '--process-name', victim])
    await expect.poll(() => containersOf(victim), { timeout: 60_000, interval: 100 }).toHaveLength(1)
    first.child.kill('SIGKILL')
    await first.ended
    const second = place.start(['evaluator', '--local', '--json', '--once'])
    expect(await second.ended).toBe(0)
    expect((await resultOf(clients, evaluations('Team#1'), '00001'))['ErrorMessage']?.S).toMatch(/4 s\b/)
    expect(await containersOf(victim)).toEqual([])
    clients.close()
  })
})
