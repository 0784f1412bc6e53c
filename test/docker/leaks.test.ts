import { expect, test } from 'vitest'
import { PROBLEM, PROBLEM_SCRIPT, jobsOf, MATCH, TIMEOUT_SECONDS, type Job } from '../chaos/jobs.ts'
import { writtenFlags } from '../chaos/history.ts'
import { leftovers } from '../chaos/leaks.ts'
import { judgeTable } from '../chaos/results.ts'
import { engineFault } from '../chaos/schedule.ts'
import { canStartPrivateEngine } from '../support/engine.ts'
import { noFaults, randomPlan } from '../support/faults/plan.ts'
import { until } from '../support/faults/until.ts'
import { World } from '../support/faults/world.ts'
import { buildShellImage } from '../support/images.ts'

/** 500 by hand, see docs/reliability.md. */
const JOBS = Number(process.env['OPTHUB_LEAK_JOBS'] ?? 40)
const SEED = process.env['OPTHUB_LEAK_SEED'] ?? '1'
const BACKLOG = 12
const MAX_RECEIVES = 1000

/** Of so many requests one fails; a job needs about eight. */
const SHARE: Record<string, number> = {
  create: 0.06,
  attach: 0.06,
  'attach-input': 0.06,
  start: 0.06,
  wait: 0.06,
  kill: 0.2,
  remove: 0.2,
  rename: 0.1,
  inspect: 0.06,
  events: 0.06,
  list: 0.2,
  ping: 0.1,
}

const CONFIG = `concurrency: 4
visibility_timeout: 20
heartbeat_interval: 5
wait_time: 1
interval: 0.1
stop_grace: 1
max_receive_count: ${String(MAX_RECEIVES)}
matches: {${MATCH}: {problem: {image: ${PROBLEM}, timeout: ${String(TIMEOUT_SECONDS)}}}}
`

test.skipIf(!canStartPrivateEngine())(
  `after ${String(JOBS)} jobs with failures at every step nothing is left, and each has its one right result`,
  { timeout: 120_000 + JOBS * 5000 },
  async () => {
    await using world = await World.create({
      config: CONFIG,
      maxReceives: MAX_RECEIVES,
      // What is released comes back at once, so that much is tried again.
      visibility: (seconds) => (seconds > 20 ? 1 : seconds),
    })
    await buildShellImage(world.engine, PROBLEM, PROBLEM_SCRIPT, { changes: ['VOLUME /data'] })
    const runner = world.startRunner({ kind: 'evaluator', name: 'leaky' })
    await until(
      'the runner is ready',
      () => runner.said('Ready'),
      60_000,
      () => runner.tail(),
    )
    world.engineFront.plan = randomPlan(SEED, (operation) => SHARE[operation] ?? 0, engineFault)

    const jobs: Job[] = []
    const done = (): number => writtenFlags(world.awsFront.requests).size
    for (const job of jobsOf(SEED)) {
      const { number, conduct, participantId, trialNo } = job
      jobs.push(job)
      const variable = { L: [{ S: `n${String(number)}` }, { S: conduct }] }
      await world.aws.putSolution(MATCH, participantId, trialNo, variable)
      await until(
        'jobs end',
        () => jobs.length - done() < BACKLOG,
        120_000,
        () => runner.tail(),
      )
      if (number === JOBS) break
    }
    await until(
      'all jobs end',
      async () => {
        const { waiting, inFlight } = await world.aws.depth(world.aws.info.queues.evaluator)
        return done() === JOBS && waiting + inFlight === 0
      },
      180_000,
      () => runner.tail(),
    )
    world.engineFront.plan = noFaults
    runner.signal('SIGTERM')
    expect(await runner.ended).toBe(0)
    expect(await judgeTable(world.aws, jobs, false)).toEqual([])
    expect(await leftovers(world.engine)).toEqual([])
    process.stderr.write(
      `leaks: ${String(JOBS)} jobs, ${String(world.engineFront.injected.total)} faults ${JSON.stringify(world.engineFront.injected.byKind())}\n`,
    )
  },
)
