import type { Command } from 'commander'
import type { Table } from '../../app/table.ts'
import type { Need } from '../../config/checks.ts'
import { EXIT, OperatorError } from '../../core/errors.ts'
import type { TrialKindName } from '../../kinds/index.ts'
import type { Session } from '../io.ts'
import type { RejudgeJob, RejudgeOutcome, RejudgePlan, Selection } from '../rejudging.ts'
import { addConfigFlags, addLocalFlag, loadSettings, type SettingFlags } from '../settings.ts'

interface RejudgeFlags extends SettingFlags {
  match?: string
  participant?: string
  trial?: string
  failed?: true
  cascade?: true
  yes?: true
  json?: true
}

/** The verb `rejudge`. */
export function define(command: Command, session: Session): void {
  command.argument('[kind]', 'evaluator: evaluations, with their scores; scorer: scores only')
  addLocalFlag(addConfigFlags(command))
    .option('--match <uuid>', 'the match')
    .option('--participant <id>', 'only trials of this participant')
    .option('--trial <no>', 'only the trial of this number')
    .option('--failed', 'only what failed: evaluations, and scores of evaluations that went well')
    .option('--cascade', 'also the scores of all later trials, in whose histories the trials stand')
    .option('--yes', 'do not ask')
    .option('--json', 'print one JSON object')
    .addHelpText('after', HELP)
    .action(async (kind: string | undefined) => {
      await runRejudge(kind, command.opts<RejudgeFlags>(), session)
    })
}

const HELP = `
Deletes results with their flags and queues the trials again. An evaluation takes its score along. What will be deleted
is shown first. A run that was ended half-way is finished by the next one. Needs the right dynamodb:DeleteItem, and
without --participant dynamodb:Scan.`

async function runRejudge(kind: string | undefined, flags: RejudgeFlags, session: Session): Promise<void> {
  session.json = flags.json === true
  const selection = await readSelection(kind, flags)
  const local = flags.local === true
  const needs: Need[] = ['table_name', 'region_name']
  const settings = await loadSettings(session, flags, () => (local ? [] : needs))
  const [{ withTable }, { planRejudging, rejudge }, text] = await Promise.all([
    import('../with-table.ts'),
    import('../rejudging.ts'),
    import('../rejudge-text.ts'),
  ])
  await withTable({ session, ...settings, local }, async (table, signal) => {
    await table.store.probe(signal)
    const plans = await planRejudging(table.store, selection, signal)
    if (plans.length === 0) {
      refuseUnknownTrial(flags)
      session.io.stdout.write(
        flags.json === true ? `${text.outcomeJson([], [])}\n` : 'Nothing to judge again.\n',
      )
      return
    }
    // What can't be queued again must not be deleted.
    const send = await openQueues(table, plans, signal)
    if (flags.json !== true) session.io.stderr.write(`${text.describePlans(plans)}\n`)
    if (flags.yes !== true && !(await isConfirmed(plans, session, signal))) return
    const outcomes: RejudgeOutcome[] = []
    const cascade = flags.cascade === true
    try {
      for (const plan of plans) outcomes.push(await rejudge(table.store, plan, { cascade, send }, signal))
    } catch (error) {
      session.io.stderr.write('Not finished: run the same command again, which does the rest.\n')
      throw error
    }
    const done = flags.json === true ? text.outcomeJson(plans, outcomes) : text.describeOutcomes(outcomes)
    session.io.stdout.write(`${done}\n`)
    if (outcomes.some(({ changed }) => changed.length > 0)) session.exitCode = EXIT.failedStart
  })
}

async function readSelection(kind: string | undefined, flags: RejudgeFlags): Promise<Selection> {
  const { parseMatchId, parseParticipantId, parseTrialNo } = await import('../trial-id.ts')
  const { match, participant, trial } = flags
  if (kind !== undefined && kind !== 'evaluator' && kind !== 'scorer') {
    throw usage(`There is no kind ${JSON.stringify(kind)}`, 'Say evaluator, scorer, or nothing.')
  }
  if (match === undefined) throw usage('--match is missing', 'Name the match by its UUID.')
  return {
    matchId: parseMatchId(match, '--match'),
    participantId: participant === undefined ? undefined : parseParticipantId(participant, '--participant'),
    trialNo: trial === undefined ? undefined : parseTrialNo(trial, '--trial'),
    kind,
    failed: flags.failed === true,
    cascade: flags.cascade === true,
  }
}

/** A trial that was named is a mistake when there is none; other questions may have no answer. */
function refuseUnknownTrial({ participant, trial, failed }: RejudgeFlags): void {
  if (trial === undefined || failed === true) return
  const whose = participant === undefined ? '' : ` of ${participant}`
  throw new OperatorError(
    `There is nothing to judge again of trial ${trial}${whose}`,
    'it has no result',
    'Check --match, --participant and --trial: `opthub-runner results evaluator --match …` lists what there is.',
  )
}

async function openQueues(
  table: Table,
  plans: readonly RejudgePlan[],
  signal: AbortSignal,
): Promise<(kind: TrialKindName, message: string) => Promise<void>> {
  const kinds = new Set(plans.flatMap(({ jobs }) => jobs.map(({ kind }) => kind)))
  const queues = new Map(Array.from(kinds, (kind) => [kind, table.queue(kind)]))
  await Promise.all(Array.from(queues.values(), (queue) => queue.probe(signal)))
  return async (kind, message) => {
    await (queues.get(kind) ?? table.queue(kind)).send(message)
  }
}

async function isConfirmed(
  plans: readonly RejudgePlan[],
  { io }: Session,
  signal: AbortSignal,
): Promise<boolean> {
  const { canAsk, openTypedLines } = await import('../typed-lines.ts')
  if (!canAsk(io)) {
    throw usage('Nothing was deleted: there is no terminal to ask at', 'Add --yes to go ahead.')
  }
  const jobs: RejudgeJob[] = plans.flatMap((plan) => plan.jobs)
  const lines = openTypedLines(io)
  try {
    const answer = lines.ask(`Delete these results and queue ${jobs.length} again? [y/N] `)
    const stopped = new Promise<undefined>((resolve) => {
      signal.addEventListener('abort', () => {
        resolve(undefined)
      })
    })
    const typed = await Promise.race([answer, stopped])
    signal.throwIfAborted()
    if (/^\s*y(?:es)?\s*$/i.test(typed ?? '')) return true
    io.stderr.write('Nothing was deleted.\n')
    return false
  } finally {
    lines.release()
  }
}

function usage(what: string, hint: string): OperatorError {
  return new OperatorError(what, '', hint, EXIT.usage)
}
