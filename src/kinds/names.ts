/** The kinds that judge trials of optimisation competitions. */
export const TRIAL_KIND_NAMES = ['evaluator', 'scorer'] as const

/** The name of a kind that judges trials. */
export type TrialKindName = (typeof TRIAL_KIND_NAMES)[number]

/** The name of a kind. */
export type KindName = TrialKindName | 'code-exec' | 'inference' | 'fetcher'

/** The name of a kind whose jobs come from SQS, and whose results go to a table. */
export type TableKindName = Exclude<KindName, 'fetcher'>

/** Whether a kind judges trials. */
export function isOfTrials(kind: KindName): kind is TrialKindName {
  return (TRIAL_KIND_NAMES as readonly string[]).includes(kind)
}
