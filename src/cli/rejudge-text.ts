import type { RejudgeJob, RejudgeOutcome, RejudgePlan, Standing } from './rejudging.ts'
import { renderTable } from './table.ts'
import { formatTrialId } from './trial-id.ts'

/** More lines are of no use to a person. */
const MOST_LINES = 50
const LONGEST_ERROR = 50

const STANDINGS: Readonly<Record<Standing, string>> = {
  Success: 'success',
  Failed: 'failed',
  lost: 'lost',
  none: '-',
}

const REASONS: Readonly<Record<RejudgeJob['reason'], string>> = {
  chosen: '',
  later: 'comes later',
  interrupted: 'was deleted before, not queued',
}

/** What will be deleted and queued, and what that means for others. */
export function describePlans(plans: readonly RejudgePlan[]): string {
  const jobs = plans.flatMap((plan) => plan.jobs)
  const rows = jobs
    .slice(0, MOST_LINES)
    .map((job) => [
      formatTrialId(job.trial),
      STANDINGS[job.evaluation],
      STANDINGS[job.score],
      job.kind === 'evaluator' ? 'evaluation and score' : 'score',
      REASONS[job.reason] || job.errorMessage,
    ])
  const table = renderTable(
    [
      { header: 'Trial' },
      { header: 'Evaluation' },
      { header: 'Score' },
      { header: 'Judged again' },
      { header: 'Why', maxWidth: LONGEST_ERROR },
    ],
    rows,
  )
  const more = jobs.length - rows.length
  return [table, ...(more > 0 ? [`… and ${more} more.`] : []), ...notes(plans)].join('\n')
}

/** What was done, for people. */
export function describeOutcomes(outcomes: readonly RejudgeOutcome[]): string {
  const queued = outcomes.flatMap((outcome) => outcome.queued)
  const changed = outcomes.flatMap((outcome) => outcome.changed)
  return [
    `${count(queued.length, 'trial')} queued again.`,
    ...changed.map(
      ({ trial }) => `Left alone, since a runner or somebody else changed it: ${formatTrialId(trial)}`,
    ),
  ].join('\n')
}

/** What was done, for programs. */
export function outcomeJson(plans: readonly RejudgePlan[], outcomes: readonly RejudgeOutcome[]): string {
  const toJson = ({ trial, kind, reason, evaluation, score }: RejudgeJob) => ({
    id: formatTrialId(trial),
    kind,
    reason,
    evaluation: STANDINGS[evaluation],
    score: STANDINGS[score],
  })
  return JSON.stringify({
    queued: outcomes.flatMap(({ queued }) => queued.map(toJson)),
    changed: outcomes.flatMap(({ changed }) => changed.map(toJson)),
    later_scores: plans.flatMap(({ later }) => later.map(formatTrialId)),
  })
}

function notes(plans: readonly RejudgePlan[]): string[] {
  const later = plans.reduce((sum, plan) => sum + plan.later.length, 0)
  const unscored = plans
    .flatMap(({ jobs }) => jobs)
    .filter(({ evaluation, score }) => evaluation === 'Success' && score === 'none')
  return [
    ...(later === 0
      ? []
      : [
          `Later scores in whose histories these trials belong: ${later}. They stay as they are; --cascade has them made ` +
            'anew, too.',
        ]),
    ...(unscored.length === 0
      ? []
      : [
          `${count(unscored.length, 'evaluation')} without a score: a scorer that is working on one now begins anew.`,
        ]),
  ]
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
