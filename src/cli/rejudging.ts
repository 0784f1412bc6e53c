import type { TrialKindName } from '../kinds/index.ts'
import { formatTrialMessage } from '../kinds/message.ts'
import { flagKey, partitionOf, resultKey, solutionKey, type Trial } from '../records/keys.ts'
import { addRejudging, readRejudging } from '../records/rejudging.ts'
import type { ResultSeries } from '../records/result.ts'
import type { Item, Key, Store } from '../stores/store.ts'

/** Which results are to be judged again. */
export interface Selection {
  matchId: string
  /** All participants when undefined. */
  participantId: string | undefined
  /** All trials when undefined; digits, compared as a number. */
  trialNo: string | undefined
  /** Evaluations with their scores, or scores only. When undefined: evaluations, or of failed trials what failed. */
  kind: TrialKindName | undefined
  /** Only what failed. */
  failed: boolean
  /** The later scores of a participant, too: what is judged again stood in their histories. */
  cascade: boolean
}

/** How a result stands in the table; 'lost' = a flag without a result. */
export type Standing = 'Success' | 'Failed' | 'lost' | 'none'

/** One trial that is judged again. */
export interface RejudgeJob {
  trial: Trial
  kind: TrialKindName
  /** 'interrupted' = its results were deleted before, by a run that was killed before it queued the trial. */
  reason: 'chosen' | 'later' | 'interrupted'
  evaluation: Standing
  score: Standing
  errorMessage: string
  /** What is deleted, as it was seen. */
  items: Item[]
  /** What must not have appeared meanwhile. */
  absent: Key[]
}

/** What is to be done for one participant. */
export interface RejudgePlan {
  participant: Omit<Trial, 'trialNo'>
  /** In the order of their numbers. */
  jobs: RejudgeJob[]
  /** Later trials whose scores stay as they are, although what is judged again stood in their histories. */
  later: Trial[]
  /** Notes of earlier rejudgings that are needed no more when this one is done. */
  notes: Key[]
}

/** What became of a plan. */
export interface RejudgeOutcome {
  queued: RejudgeJob[]
  /** Somebody else changed these meanwhile, so nothing of them was deleted. */
  changed: RejudgeJob[]
}

/** Bounds an item's size: DynamoDB takes 400 KB. */
const TRIALS_PER_NOTE = 5000
/** As front ends number trials. */
const USUAL_WIDTH = 5
const NOTE_LIFE_MS = 24 * 60 * 60_000
const AT_A_TIME = 8
/** Others may go on scoring while later scores are deleted. */
const MOST_ROUNDS = 10

interface Found {
  Success?: Item
  Failed?: Item
  flag?: Item
}

interface TrialState {
  trialNo: string
  Evaluations: Found
  Scores: Found
}

interface ParticipantState {
  participant: Omit<Trial, 'trialNo'>
  trials: Map<string, TrialState>
  rejudgings: Item[]
}

/** What judging again would do, by participant; those for whom there is nothing to do are left out. Changes nothing. */
export async function planRejudging(
  store: Store,
  selection: Selection,
  signal: AbortSignal,
): Promise<RejudgePlan[]> {
  const states = await readStates(store, selection, signal)
  const plans = states.map((state) => planFor(state, selection)).filter(({ jobs }) => jobs.length > 0)
  if (plans.length > 0 || selection.trialNo === undefined || selection.participantId === undefined)
    return plans
  // A trial of its own choice is queued even when it has no result yet: its message may be lost.
  const { matchId, participantId, trialNo, kind, failed } = selection
  const trial = await findSolution(store, { matchId, participantId, trialNo }, signal)
  const isTaken = trial === undefined || states.some(({ trials }) => trials.has(trial.trialNo))
  if (isTaken || kind === 'scorer' || failed) return []
  const state = { trialNo: trial.trialNo, Evaluations: {}, Scores: {} }
  const job = jobOf(trial, state, 'evaluator', 'chosen')
  return [{ participant: trial, jobs: [job], later: [], notes: [] }]
}

/**
 * Carries out a plan for one participant. Throws when table or queue fail; another run finishes what was begun.
 *
 * Killed at any point it leaves nothing that another run does not mend, and never two results:
 * 1. The rejudging is noted in the table, with its trials. Killed here: nothing has happened yet.
 * 2. Result, flag and all that hangs on them are deleted, in one transaction for each trial, on the condition that
 *    everything still is as it was shown. A runner that wrote between our look and our delete is thus left alone, and
 *    the trial reported. One that is still running may write after the delete, once, as the flag's own condition
 *    allows: that is the one result, and our message will find it. A scorer asks right before it writes whether what
 *    it worked with still is the same. Killed here: the note says which trials may have lost their message.
 * 3. Another note, without trials: scorers forget what they remember when there is a new one, and may have read again
 *    after the first. Only then the messages are sent. Killed here: as before, and a message that is sent twice finds
 *    the result of the first.
 * 4. All notes but the last one are removed; that one stays, since its number must not be given again.
 */
export async function rejudge(
  store: Store,
  plan: RejudgePlan,
  { cascade, send }: RejudgeOptions,
  signal: AbortSignal,
): Promise<RejudgeOutcome> {
  const { participant } = plan
  const results = new Map<string, { job: RejudgeJob; isRemoved: boolean }>()
  const notes = [...plan.notes]
  let last: Key | undefined
  let jobs = plan.jobs
  for (let round = 0; jobs.length > 0 && round < MOST_ROUNDS; round += 1) {
    if (last !== undefined) notes.push(last)
    notes.push(...(await noteBeginning(store, participant, jobs)))
    await inParallel(
      jobs,
      async (job) => {
        const isRemoved = (await store.remove(job.items, job.absent)) === 'removed'
        results.set(job.trial.trialNo, { job, isRemoved })
      },
      signal,
    )
    last = await addRejudging(store, participant, { evaluations: [], scores: [] })
    const changed = jobs.filter(({ trial }) => results.get(trial.trialNo)?.isRemoved === false)
    jobs = signal.aborted ? [] : await jobsLeft(store, plan, changed, cascade, signal)
  }
  const all = [...results.values()].sort((a, b) => compareTrials(a.job.trial, b.job.trial))
  const jobsThat = (removed: boolean): RejudgeJob[] =>
    all.flatMap(({ job, isRemoved }) => (isRemoved === removed ? [job] : []))
  const queued = jobsThat(true)
  // What is deleted is queued, even if the rest is not wanted any more.
  await inParallel(queued, ({ kind, trial }) => send(kind, formatTrialMessage(trial)))
  signal.throwIfAborted()
  await inParallel(notes, async (note) => {
    await store.remove([{ ...note }], [])
  })
  return { queued, changed: jobsThat(false) }
}

export interface RejudgeOptions {
  /** Also takes later scores that were made meanwhile. */
  cascade: boolean
  send: (kind: TrialKindName, message: string) => Promise<void>
}

/** In the order of their numbers. */
export function compareTrials(a: Trial, b: Trial): number {
  return Number(a.trialNo) - Number(b.trialNo) || (a.trialNo < b.trialNo ? -1 : 1)
}

/** Reads everything that there is of the results of a match, or of one participant in it. */
async function readStates(
  store: Store,
  { matchId, participantId }: Pick<Selection, 'matchId' | 'participantId'>,
  signal: AbortSignal,
): Promise<ParticipantState[]> {
  const states = new Map<string, ParticipantState>()
  const attributes = ['ID', 'Trial', 'CreatedAt', 'ErrorMessage', 'Evaluations', 'Scores']
  async function read(series: ResultSeries | 'Rejudgings'): Promise<void> {
    const prefix = partitionOf(series, { matchId, participantId: participantId ?? '' })
    const items =
      participantId === undefined
        ? store.scan(prefix, signal)
        : store.query(prefix, { from: '0', to: 'Success#~', attributes }, signal)
    for await (const item of items) {
      const { ID: id, Trial: key } = item
      if (typeof id !== 'string' || typeof key !== 'string') continue
      const name = participantId ?? id.slice(prefix.length)
      const state = states.get(name) ?? {
        participant: { matchId, participantId: name },
        trials: new Map<string, TrialState>(),
        rejudgings: [],
      }
      states.set(name, state)
      if (series === 'Rejudgings') state.rejudgings.push(item)
      else addResult(state, series, key, item)
    }
  }
  await Promise.all([read('Evaluations'), read('Scores'), read('Rejudgings')])
  return [...states.values()].sort((a, b) =>
    a.participant.participantId < b.participant.participantId ? -1 : 1,
  )
}

function addResult({ trials }: ParticipantState, series: ResultSeries, key: string, item: Item): void {
  const [, status = 'flag', trialNo] = /^(?:(Success|Failed)#)?(\d+)$/.exec(key) ?? []
  if (trialNo === undefined) return
  const state = trials.get(trialNo) ?? { trialNo, Evaluations: {}, Scores: {} }
  trials.set(trialNo, state)
  // Large attributes of whole matches are not kept.
  const { ID = '', Trial = '', CreatedAt, ErrorMessage } = item
  state[series][status as keyof Found] = {
    ID,
    Trial,
    ...(CreatedAt !== undefined && { CreatedAt }),
    ...(ErrorMessage !== undefined && { ErrorMessage }),
  }
}

function planFor(state: ParticipantState, selection: Selection): RejudgePlan {
  const { participant } = state
  const wanted = selection.trialNo === undefined ? undefined : Number(selection.trialNo)
  const jobs = new Map<string, RejudgeJob>()
  const ask = (trial: TrialState, kind: TrialKindName, reason: RejudgeJob['reason']): void => {
    const job = jobOf({ ...participant, trialNo: trial.trialNo }, trial, kind, reason)
    if (!jobs.has(trial.trialNo)) jobs.set(trial.trialNo, job)
  }
  for (const trial of state.trials.values()) {
    if (wanted !== undefined && Number(trial.trialNo) !== wanted) continue
    const kind = kindToRejudge(trial, selection)
    if (kind !== undefined) ask(trial, kind, 'chosen')
  }
  for (const { trial, kind } of interrupted(state)) {
    const isLater = selection.cascade && Number(trial.trialNo) > (wanted ?? Infinity)
    if (wanted === undefined || Number(trial.trialNo) === wanted || isLater) ask(trial, kind, 'interrupted')
  }
  const later = laterThan(leastOf(jobs.values()), state).filter(({ trialNo }) => !jobs.has(trialNo))
  if (selection.cascade) for (const trial of later) ask(trial, 'scorer', 'later')
  return {
    participant,
    jobs: [...jobs.values()].sort((a, b) => compareTrials(a.trial, b.trial)),
    later: selection.cascade ? [] : later.map(({ trialNo }) => ({ ...participant, trialNo })),
    notes: state.rejudgings.filter((note) => isFinished(note, state, jobs)).map(keyOf),
  }
}

/** What of a trial is judged again, if anything. */
function kindToRejudge(
  { Evaluations, Scores }: TrialState,
  { kind, failed }: Selection,
): TrialKindName | undefined {
  const [evaluation, score] = [standingOf(Evaluations), standingOf(Scores)]
  const isWanted = (standing: Standing): boolean =>
    standing === 'Failed' || standing === 'lost' || (!failed && standing === 'Success')
  if (kind === 'scorer') return evaluation === 'Success' && isWanted(score) ? 'scorer' : undefined
  if (isWanted(evaluation)) return 'evaluator'
  if (kind === 'evaluator' || !isWanted(score)) return undefined
  // A score that failed while its evaluation did not; one without an evaluation waits for that.
  return evaluation === 'Success' ? 'scorer' : 'evaluator'
}

/** Trials of which an earlier run deleted something, and which have nothing in its place yet. */
function interrupted(state: ParticipantState): { trial: TrialState; kind: TrialKindName }[] {
  return state.rejudgings
    .map(readRejudging)
    .flatMap(({ evaluations, scores }) => [
      ...evaluations.map((trialNo) => ({ trial: stateOf(trialNo, state), kind: 'evaluator' as const })),
      ...scores.map((trialNo) => ({ trial: stateOf(trialNo, state), kind: 'scorer' as const })),
    ])
    .filter(({ trial, kind }) => isMissing(kind, trial))
}

function stateOf(trialNo: string, { trials }: ParticipantState): TrialState {
  return trials.get(trialNo) ?? { trialNo, Evaluations: {}, Scores: {} }
}

/** Whether a message of this kind would find no result of it, but all that it needs. */
function isMissing(kind: TrialKindName, { Evaluations, Scores }: TrialState): boolean {
  if (kind === 'evaluator') return standingOf(Evaluations) === 'none'
  return standingOf(Evaluations) === 'Success' && standingOf(Scores) === 'none'
}

/**
 * Whether a note is needed no more when these jobs are done. A trial of it that has a result may be one whose delete
 * still is on its way, although whoever sent that is dead; not for long.
 */
function isFinished(note: Item, state: ParticipantState, jobs: ReadonlyMap<string, RejudgeJob>): boolean {
  const { evaluations, scores } = readRejudging(note)
  if ([...evaluations, ...scores].every((trialNo) => jobs.has(trialNo))) return true
  const isOld = Date.parse(textOf(note, 'CreatedAt') ?? '') < Date.now() - NOTE_LIFE_MS
  return isOld && interrupted({ ...state, rejudgings: [note] }).every(({ trial }) => jobs.has(trial.trialNo))
}

/** Trials with a greater number that have a score. */
function laterThan(number: number, { trials }: ParticipantState): TrialState[] {
  return [...trials.values()].filter(
    ({ trialNo, Evaluations, Scores }) =>
      Number(trialNo) > number && standingOf(Evaluations) === 'Success' && standingOf(Scores) !== 'none',
  )
}

/**
 * What is to be done after a round: trials that somebody else deleted under our hands (a run that was killed may have
 * had its deletes on the way), and later scores that are there, because they were made meanwhile.
 */
async function jobsLeft(
  store: Store,
  { participant, jobs }: RejudgePlan,
  changed: readonly RejudgeJob[],
  cascade: boolean,
  signal: AbortSignal,
): Promise<RejudgeJob[]> {
  if (changed.length === 0 && !cascade) return []
  const states = await readStates(store, participant, signal)
  const state = states[0] ?? { participant, trials: new Map<string, TrialState>(), rejudgings: [] }
  const left = new Map<string, RejudgeJob>()
  for (const { trial, kind } of changed) {
    const found = stateOf(trial.trialNo, state)
    if (isMissing(kind, found)) left.set(trial.trialNo, jobOf(trial, found, kind, 'interrupted'))
  }
  for (const found of cascade ? laterThan(leastOf(jobs), state) : []) {
    const trial = { ...participant, trialNo: found.trialNo }
    left.set(trial.trialNo, jobOf(trial, found, 'scorer', 'later'))
  }
  return [...left.values()].sort((a, b) => compareTrials(a.trial, b.trial))
}

function jobOf(
  trial: Trial,
  { Evaluations, Scores }: TrialState,
  kind: TrialKindName,
  reason: RejudgeJob['reason'],
): RejudgeJob {
  const items: Item[] = []
  const absent: Key[] = []
  for (const series of kind === 'evaluator' ? (['Evaluations', 'Scores'] as const) : (['Scores'] as const)) {
    const found = { Evaluations, Scores }[series]
    const keys = {
      Success: resultKey(series, 'Success', trial),
      Failed: resultKey(series, 'Failed', trial),
      flag: flagKey(series, trial),
    }
    for (const part of ['Success', 'Failed', 'flag'] as const) {
      const item = found[part]
      if (item === undefined) absent.push(keys[part])
      else items.push(withoutText(item))
    }
  }
  return {
    trial,
    kind,
    reason,
    evaluation: standingOf(Evaluations),
    score: standingOf(Scores),
    errorMessage: textOf(Evaluations.Failed, 'ErrorMessage') ?? textOf(Scores.Failed, 'ErrorMessage') ?? '',
    items,
    absent,
  }
}

function standingOf({ Success, Failed, flag }: Found): Standing {
  if (Success !== undefined) return 'Success'
  if (Failed !== undefined) return 'Failed'
  return flag === undefined ? 'none' : 'lost'
}

/** Key and time tell a result from any other. */
function withoutText({ ID = '', Trial = '', CreatedAt }: Item): Item {
  return { ID, Trial, ...(CreatedAt !== undefined && { CreatedAt }) }
}

function textOf(item: Item | undefined, name: string): string | undefined {
  const text = item?.[name]
  return typeof text === 'string' ? text : undefined
}

function keyOf({ ID, Trial }: Item): Key {
  if (typeof ID !== 'string' || typeof Trial !== 'string') throw new TypeError('an item needs ID and Trial')
  return { ID, Trial }
}

function leastOf(jobs: Iterable<RejudgeJob>): number {
  let least = Infinity
  for (const { trial } of jobs) least = Math.min(least, Number(trial.trialNo))
  return least
}

async function noteBeginning(
  store: Store,
  participant: Omit<Trial, 'trialNo'>,
  jobs: readonly RejudgeJob[],
): Promise<Key[]> {
  const notes: Key[] = []
  for (let start = 0; start < jobs.length; start += TRIALS_PER_NOTE) {
    const part = jobs.slice(start, start + TRIALS_PER_NOTE)
    const namesOf = (wanted: TrialKindName): string[] =>
      part.flatMap(({ kind, trial }) => (kind === wanted ? [trial.trialNo] : []))
    const rejudged = { evaluations: namesOf('evaluator'), scores: namesOf('scorer') }
    notes.push(await addRejudging(store, participant, rejudged))
  }
  return notes
}

/** The solution that a person means by a number: as typed, or filled up to the usual width. */
async function findSolution(
  store: Store,
  { matchId, participantId, trialNo }: Trial,
  signal: AbortSignal,
): Promise<Trial | undefined> {
  for (const width of [trialNo.length, USUAL_WIDTH]) {
    const trial = { matchId, participantId, trialNo: trialNo.padStart(width, '0') }
    if ((await store.get(solutionKey(trial), signal)) !== undefined) return trial
  }
  return undefined
}

/** Works on some at a time; starts no more of them once the signal is aborted or one failed. */
async function inParallel<T>(
  list: readonly T[],
  work: (each: T) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const iterator = list.values()
  let hasFailed = false
  async function lane(): Promise<void> {
    for (const each of iterator) {
      if (hasFailed || signal?.aborted === true) return
      try {
        await work(each)
      } catch (error) {
        hasFailed = true
        throw error
      }
    }
  }
  // All come to their end before the first failure is thrown.
  const lanes = await Promise.allSettled(Array.from({ length: AT_A_TIME }, lane))
  for (const result of lanes) if (result.status === 'rejected') throw result.reason
}
