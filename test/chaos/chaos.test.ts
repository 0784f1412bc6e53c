import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { canStartPrivateEngine } from '../support/engine.ts'
import { playRound, scheduleOf, type RoundReport } from './round.ts'
import type { Event } from './schedule.ts'
import { shrink } from './shrink.ts'

// Set by scripts/chaos.mjs.
const seconds = Number(process.env['OPTHUB_CHAOS_SECONDS'] ?? 60)
const seed = process.env['OPTHUB_CHAOS_SEED'] ?? randomBytes(4).toString('hex')
const keep = process.env['OPTHUB_CHAOS_KEEP']
const wantsShrinking = process.env['OPTHUB_CHAOS_SHRINK'] === 'true'

/** The longest time of faults in one round: what fails can then be played again in a minute. */
const ROUND_SECONDS = 60
/** What a round needs besides its faults, at most. */
const AROUND_MS = 420_000
const SHRINK_TRIES = 40

const rounds = Math.max(1, Math.round(seconds / ROUND_SECONDS))
const durationMs = Math.min(seconds, ROUND_SECONDS) * 1000
const totals: Record<string, number> = {}

test.skipIf(!canStartPrivateEngine())(
  `no job is lost, doubled, or blamed, and nothing is left, whatever fails (seed ${seed})`,
  { timeout: rounds * (durationMs + AROUND_MS) * (wantsShrinking ? SHRINK_TRIES : 1) },
  async () => {
    for (let n = 0; n < rounds; n += 1) {
      // The first round's seed is the one that was given, so that a round is played again by its own seed.
      const own = n === 0 ? seed : `${seed}-${String(n)}`
      const events = kept(scheduleOf({ seed: own, durationMs }))
      const report = await playRound({ seed: own, durationMs, events })
      tell(report)
      if (report.violations.length === 0) continue
      const log = writeLog(report, events)
      const again = `npm run chaos -- --seed ${own} --seconds ${String(durationMs / 1000)}`
      const cause = wantsShrinking
        ? await findCause(own, events, report)
        : `To find which faults it takes: ${again} --shrink`
      const found = report.violations.map(({ rule, what }) => `${rule}: ${what}`).join('\n')
      expect.fail(`${found}\n\nPlay it again: ${again}\n${cause}\nAll that was seen: ${log}`)
    }
    say(`all ${String(rounds)} rounds: ${JSON.stringify(totals)}`)
  },
)

/** The events named by --keep, by their places in the schedule. */
function kept(schedule: readonly Event[]): readonly Event[] {
  if (keep === undefined) return schedule
  const places = new Set(keep.split(',').map(Number))
  return schedule.filter((_event, place) => places.has(place))
}

/** The fewest events with which a rule that was broken is broken again. */
async function findCause(own: string, events: readonly Event[], first: RoundReport): Promise<string> {
  const rules = new Set(first.violations.map(({ rule }) => rule))
  const fewest = await shrink(
    events,
    async (some) => {
      const report = await playRound({ seed: own, durationMs, events: some })
      const fails = report.violations.some(({ rule }) => rules.has(rule))
      say(`with ${String(some.length)} events: ${fails ? 'fails' : 'passes'}`)
      return fails
    },
    SHRINK_TRIES,
  )
  const schedule = scheduleOf({ seed: own, durationMs })
  const places = fewest.map((event) =>
    schedule.findIndex((each) => JSON.stringify(each) === JSON.stringify(event)),
  )
  return `It takes these: --keep ${places.join(',')}\n${fewest.map((event) => JSON.stringify(event)).join('\n')}`
}

function tell({
  seed: own,
  jobs,
  runnerStarts,
  faults,
  liveRestore,
  seconds: took,
  violations,
}: RoundReport): void {
  const injected = Object.values(faults).reduce((sum, n) => sum + n, 0)
  for (const [name, n] of Object.entries({ ...faults, jobs, runnerStarts }))
    totals[name] = (totals[name] ?? 0) + n
  say(
    `seed ${own}${liveRestore ? ' (live-restore)' : ''}: ${String(jobs)} results, ${String(runnerStarts)} runners, ${String(injected)} faults, ${String(violations.length)} violations, ${String(took)} s`,
  )
}

function writeLog(report: RoundReport, events: readonly Event[]): string {
  const folder = resolve(import.meta.dirname, '../../node_modules/.cache/chaos')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${report.seed}.log`)
  const head = report.violations.map((violation) => JSON.stringify(violation))
  writeFileSync(file, [...head, ...events.map((event) => JSON.stringify(event)), ...report.log()].join('\n'))
  return file
}

function say(line: string): void {
  process.stderr.write(`chaos: ${line}\n`)
}
