import type { Command } from 'commander'
import type { Table } from '../../app/table.ts'
import type { Config } from '../../config/schema.ts'
import { EXIT, OperatorError } from '../../core/errors.ts'
import type { TrialKindName } from '../../kinds/index.ts'
import type { Trial } from '../../records/keys.ts'
import { wantsColor, type Session } from '../io.ts'
import type { ResultView } from '../result-view.ts'
import type { ShowCodeFlags } from '../show-code.ts'
import { addConfigFlags, addLocalFlag, loadSettings, type SettingFlags } from '../settings.ts'
import type { Direction } from '../table.ts'

interface ResultFlags extends SettingFlags {
  match?: string
  participant?: string
  direction?: string
  watch?: true
  json?: true
  csv?: true
}

/** The verb `results`. */
export function define(command: Command, session: Session): void {
  for (const kind of ['evaluator', 'scorer'] as const) {
    const what = kind === 'evaluator' ? 'evaluations' : 'scores'
    const verb = command.command(kind).description(`show ${what}, best first, and a plot of them by trial`)
    verb.argument('[id]', 'one trial, as submit prints it: <match>/<participant>/<trial>')
    addLocalFlag(addConfigFlags(verb))
      .option('--match <uuid>', 'all trials of this match')
      .option('--participant <id>', 'only those of this participant')
      .option('--direction <direction>', "minimize or maximize (default: the match's in the config file)")
      .option('--watch', 'go on and show what comes in, until Ctrl-C')
      .option('--json', 'print JSON: an array, or with --watch one object per line')
      .option('--csv', 'print CSV with a header')
      .action(async (id: string | undefined) => {
        await showResults(kind, id, verb.opts<ResultFlags>(), session)
      })
  }
  defineJob(command, session, 'code-exec', 'show what came of a program')
  defineJob(command, session, 'inference', 'show what a model has answered')
}

/** Of a kind whose jobs have one item each. */
function defineJob(
  command: Command,
  session: Session,
  kind: 'code-exec' | 'inference',
  description: string,
): void {
  const verb = command.command(kind).description(description)
  verb.argument('<id>', 'the job, as submit prints it')
  addLocalFlag(addConfigFlags(verb))
    .option('--watch', 'wait for its end')
    .option('--json', 'print the stored item as JSON')
    .action(async (id: string) => {
      const show =
        kind === 'code-exec'
          ? (await import('../show-code.ts')).showCode
          : (await import('../show-inference.ts')).showCall
      await show(id, verb.opts<ShowCodeFlags>(), session)
    })
}

type Format = 'text' | 'json' | 'csv'
type Question = { one: Trial } | { matchId: string; participantId: string | undefined }

async function showResults(
  kind: TrialKindName,
  id: string | undefined,
  flags: ResultFlags,
  session: Session,
): Promise<void> {
  if (flags.json === true && flags.csv === true)
    throw usage('--json and --csv exclude each other', 'Use one of them.')
  session.json = flags.json === true
  const question = await readQuestion(id, flags)
  const wanted = readDirection(flags.direction)
  const local = flags.local === true
  const settings = await loadSettings(session, flags, () => (local ? [] : ['table_name', 'region_name']))
  const { withTable } = await import('../with-table.ts')
  await withTable({ session, ...settings, local }, async (table, signal) => {
    await table.store.probe(signal)
    const format: Format = flags.json === true ? 'json' : flags.csv === true ? 'csv' : 'text'
    const view = { kind, format, watch: flags.watch === true, session, signal }
    if ('one' in question) await showOne(table, question.one, view)
    else {
      const direction = wanted ?? directionOf(settings.config, question.matchId)
      await showMany(table, question, { ...view, direction, intervalMs: WATCH_INTERVAL_MS })
    }
  })
}

const WATCH_INTERVAL_MS = 2_000

interface View {
  kind: TrialKindName
  format: Format
  watch: boolean
  session: Session
  signal: AbortSignal
}

async function showOne({ store }: Table, trial: Trial, view: View): Promise<void> {
  const { kind, format, session, signal } = view
  const [{ findResult }, { waitForResult }, { formatTrialId }, text, { formatJson }] = await Promise.all([
    import('../result-view.ts'),
    import('../wait-for-result.ts'),
    import('../trial-id.ts'),
    import('../result-text.ts'),
    import('../../core/json.ts'),
  ])
  const result = view.watch
    ? await waitForResult(store, kind, trial, signal)
    : await findResult(store, kind, trial, signal)
  if (result === undefined) {
    const hint = 'It may not be done yet; --watch waits for it.'
    throw new OperatorError(`The ${kind} has no result of ${formatTrialId(trial)}`, '', hint)
  }
  const lines = {
    text: () => [text.describeResult(result)],
    json: () => [formatJson(result.json)],
    csv: () => [text.csvLine(text.csvColumns(kind)), text.csvRow(result, kind)],
  }
  session.io.stdout.write(`${lines[format]().join('\n')}\n`)
}

interface ListView extends View {
  direction: Direction
  intervalMs: number
}

async function showMany(
  { store }: Table,
  question: { matchId: string; participantId: string | undefined },
  view: ListView,
): Promise<void> {
  const { kind, format, watch, session, signal } = view
  const [{ listResults }, text, { formatJson }, { systemClock }] = await Promise.all([
    import('../result-view.ts'),
    import('../result-text.ts'),
    import('../../core/json.ts'),
    import('../../core/clock.ts'),
  ])
  const { stdout, environment } = session.io
  const shown = new Set<string>()
  if (format === 'csv') stdout.write(`${text.csvLine(text.csvColumns(kind))}\n`)
  for (;;) {
    const results: ResultView[] = []
    for await (const result of listResults(store, kind, question, signal)) results.push(result)
    const idOf = (result: ResultView) => JSON.stringify(result.trial)
    const fresh = results.filter((result) => !shown.has(idOf(result))).sort(text.compareTrials)
    for (const result of fresh) shown.add(idOf(result))
    const ordered = watch ? fresh : text.bestFirst(results, view.direction)
    if (format === 'csv') {
      for (const result of ordered) stdout.write(`${text.csvRow(result, kind)}\n`)
    } else if (format === 'json') {
      const lines = ordered.map((result) => formatJson(result.json))
      if (watch) for (const line of lines) stdout.write(`${line}\n`)
      else stdout.write(lines.length === 0 ? '[]\n' : `[\n${lines.join(',\n')}\n]\n`)
    } else if (!watch || fresh.length > 0 || shown.size === 0) {
      const options = {
        kind,
        direction: view.direction,
        width: Math.min(stdout.columns ?? 80, 120),
        color: wantsColor(stdout, environment),
      }
      const clear = watch && stdout.isTTY === true ? '\u001b[H\u001b[2J\u001b[3J' : ''
      stdout.write(`${clear}${text.reportResults(results, options)}\n`)
    }
    if (!watch) return
    await systemClock.sleep(view.intervalMs, signal)
  }
}

async function readQuestion(id: string | undefined, flags: ResultFlags): Promise<Question> {
  const { parseMatchId, parseParticipantId, parseTrialId } = await import('../trial-id.ts')
  const { match, participant } = flags
  if (id !== undefined) {
    if (match === undefined && participant === undefined) return { one: parseTrialId(id, 'The argument') }
    throw usage('An id excludes --match and --participant', 'Name one trial, or a match.')
  }
  if (match === undefined) {
    throw usage('--match is missing', 'Name a match, or one trial as <match>/<participant>/<trial>.')
  }
  return {
    matchId: parseMatchId(match, '--match'),
    participantId: participant === undefined ? undefined : parseParticipantId(participant, '--participant'),
  }
}

function readDirection(text: string | undefined): Direction | undefined {
  if (text === undefined || text === 'minimize' || text === 'maximize') return text
  throw usage('--direction must be minimize or maximize', `Not ${JSON.stringify(text)}.`)
}

function directionOf({ matches }: Config, matchId: string): Direction {
  const own = Object.entries(matches).find(([id]) => id.toLowerCase() === matchId.toLowerCase())?.[1]
  return (own ?? matches['*'])?.direction ?? 'minimize'
}

function usage(what: string, hint: string): OperatorError {
  return new OperatorError(what, '', hint, EXIT.usage)
}
