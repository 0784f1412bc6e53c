import type { LocalClients, RawItem } from '../support/local-clients.ts'
import type { Violation } from './history.ts'
import { CONDUCTS, evaluates, MATCH, scores, type Job } from './jobs.ts'

/** What the table must hold in the end, compared with what it holds. `isScored` = a scorer was at work too. */
export async function judgeTable(
  aws: LocalClients,
  jobs: readonly Job[],
  isScored: boolean,
): Promise<Violation[]> {
  const violations: Violation[] = []
  const participants = [...new Set(jobs.map(({ participantId }) => participantId))]
  for (const participantId of participants) {
    const own = jobs.filter((job) => job.participantId === participantId)
    const evaluations = await partition(aws, `Evaluations#Match#${MATCH}#${participantId}`)
    const scored = await partition(aws, `Scores#Match#${MATCH}#${participantId}`)
    let earlier = 0
    for (const job of own) {
      const expected: Expected = evaluates(job)
        ? { attribute: 'Objective', value: String(job.number) }
        : { message: CONDUCTS[job.conduct] ?? /^$/ }
      violations.push(...judge(evaluations, job, 'evaluation', expected))
      if (!evaluates(job) || !isScored) {
        violations.push(...nothing(scored, job))
        continue
      }
      violations.push(
        ...judge(
          scored,
          job,
          'score',
          scores(job)
            ? { attribute: 'Value', value: String(earlier) }
            : { message: /^The program exited with code 1: / },
        ),
      )
      if (scores(job)) earlier += 1
    }
    for (const [trialNo] of [...evaluations, ...scored]) {
      if (!own.some((job) => job.trialNo === trialNo)) {
        violations.push({
          rule: 'wrong',
          what: `a result of ${participantId} ${trialNo}, which was never submitted`,
        })
      }
    }
  }
  return violations
}

type Expected = { attribute: 'Objective' | 'Value'; value: string } | { message: RegExp }

/** The items of each trial. */
async function partition(aws: LocalClients, id: string): Promise<Map<string, RawItem[]>> {
  const trials = new Map<string, RawItem[]>()
  for (const item of await aws.partition(id)) {
    const trialNo = (item['Trial']?.S ?? '').split('#').at(-1) ?? ''
    trials.set(trialNo, [...(trials.get(trialNo) ?? []), item])
  }
  return trials
}

function judge(trials: Map<string, RawItem[]>, job: Job, what: string, expected: Expected): Violation[] {
  const name = `${what} ${String(job.number)} (${job.conduct}, ${job.participantId} ${job.trialNo})`
  const items = trials.get(job.trialNo) ?? []
  const flags = items.filter((item) => item['Trial']?.S === job.trialNo)
  const results = items.filter((item) => item['Trial']?.S !== job.trialNo)
  const [result] = results
  if (result === undefined || flags.length === 0) return [{ rule: 'lost', what: `${name} has no result` }]
  if (results.length > 1) return [{ rule: 'doubled', what: `${name} has ${String(results.length)} results` }]
  const failure = result['Status']?.S === 'Failed' ? (result['ErrorMessage']?.S ?? '') : undefined
  if ('message' in expected) {
    if (failure === undefined) return [{ rule: 'spared', what: `${name} did not fail` }]
    return expected.message.test(failure) ? [] : [{ rule: 'blamed', what: `${name} failed by: ${failure}` }]
  }
  if (failure !== undefined) return [{ rule: 'blamed', what: `${name} failed by: ${failure}` }]
  const value = result[expected.attribute]?.N
  return value === expected.value
    ? []
    : [{ rule: 'wrong', what: `${name} is ${String(value)} instead of ${expected.value}` }]
}

function nothing(trials: Map<string, RawItem[]>, job: Job): Violation[] {
  return trials.has(job.trialNo)
    ? [{ rule: 'wrong', what: `a score of trial ${String(job.number)}, which nobody may score` }]
    : []
}
