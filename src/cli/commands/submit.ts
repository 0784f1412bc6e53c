import type { Command } from 'commander'
import type { Table } from '../../app/table.ts'
import { EXIT, OperatorError } from '../../core/errors.ts'
import { formatJson, isJsonObject, type Json } from '../../core/json.ts'
import type { Trial } from '../../records/keys.ts'
import { addCodeFlags } from '../code-flags.ts'
import { addCallFlags } from '../inference-flags.ts'
import type { Session } from '../io.ts'
import type { SubmitCodeFlags } from '../submit-code.ts'
import type { SubmitCallFlags } from '../submit-inference.ts'
import { addConfigFlags, addLocalFlag, loadSettings, type SettingFlags } from '../settings.ts'

interface SubmitFlags extends SettingFlags {
  match?: string
  participant?: string
  variable?: string
  file?: string
  wait?: true
  json?: true
}

/** The verb `submit`. */
export function define(command: Command, session: Session): void {
  defineTrial(command, session)
  defineCode(command, session)
  defineInference(command, session)
}

function defineTrial(command: Command, session: Session): void {
  const evaluator = command.command('evaluator').description('hand in a solution; prints the id of its trial')
  addLocalFlag(addConfigFlags(evaluator))
    .option('--match <uuid>', 'the match')
    .option('--participant <id>', 'who hands it in: User#<name> or Team#<name>')
    .option('--variable <json>', 'the solution, such as [0.5, 1.25]; - reads it from standard input')
    .option(
      '--file <path>',
      'all of this as one JSON object: MatchID, ParticipantID, Variable (or TrialNo of one stored)',
    )
    .option('--wait', 'wait for the result and print it; ends with 1 when the trial failed')
    .option('--json', 'print one line of JSON')
    .action(async () => {
      await submit(evaluator.opts<SubmitFlags>(), session)
    })
}

function defineCode(command: Command, session: Session): void {
  const code = command.command('code-exec').description('queue a program to run; prints the id of its job')
  addLocalFlag(addConfigFlags(addCodeFlags(code)))
    .option('--message-file <path>', 'the whole message as JSON; - reads it from standard input')
    .option('--wait', "wait for the result and print it; ends with the program's exit code")
    .option('--queue-timeout <seconds>', 'with --wait: how long it may stay unbegun (default: for ever)')
    .option('--json', 'print one line of JSON')
    .action(async (args: string[]) => {
      const { submitCode } = await import('../submit-code.ts')
      await submitCode(code.opts<SubmitCodeFlags>(), args, session)
    })
}

function defineInference(command: Command, session: Session): void {
  const call = command.command('inference').description('queue a call of a model; prints the id of its job')
  addLocalFlag(addConfigFlags(addCallFlags(call)))
    .option('--message-file <path>', 'the whole message as JSON; - reads it from standard input')
    .option('--wait', 'wait for the answer and print it; ends with 1 when there is none')
    .option('--queue-timeout <seconds>', 'with --wait: how long it may stay unbegun (default: for ever)')
    .option('--json', 'print one line of JSON')
    .action(async (args: string[]) => {
      const { submitCall } = await import('../submit-inference.ts')
      await submitCall(call.opts<SubmitCallFlags>(), args, session)
    })
}

/** What is handed in: a solution, or just the message of one that is stored already. */
type Order = { matchId: string; participantId: string; trialNo?: string; variable: Json } | Trial

async function submit(flags: SubmitFlags, session: Session): Promise<void> {
  session.json = flags.json === true
  const order = await readOrder(flags, session)
  const { withTable } = await import('../with-table.ts')
  const local = flags.local === true
  const settings = await loadSettings(session, flags, () =>
    local ? [] : ['evaluator_queue_url', 'table_name', 'region_name'],
  )
  await withTable({ session, ...settings, local }, async (table, signal) => {
    await table.store.probe(signal)
    const trial = await place(table, order, signal)
    const { formatTrialId } = await import('../trial-id.ts')
    const id = formatTrialId(trial)
    const { stdout } = session.io
    if (flags.wait !== true) {
      stdout.write(flags.json === true ? `${JSON.stringify({ id, ...trialFields(trial) })}\n` : `${id}\n`)
      return
    }
    if (flags.json !== true) stdout.write(`${id}\n`)
    const [{ waitForResult }, { describeResult }] = await Promise.all([
      import('../wait-for-result.ts'),
      import('../result-text.ts'),
    ])
    const result = await waitForResult(table.store, 'evaluator', trial, signal)
    stdout.write(`${flags.json === true ? formatJson(result.json) : describeResult(result)}\n`)
    if (result.status === 'Failed') session.exitCode = EXIT.failedStart
  })
}

async function place(table: Table, order: Order, signal: AbortSignal): Promise<Trial> {
  const { queueTrial, submitSolution } = await import('../submission.ts')
  if ('variable' in order) return submitSolution(table, order, signal)
  await queueTrial(table, order, signal)
  return order
}

function trialFields({ matchId, participantId, trialNo }: Trial): Record<string, string> {
  return { match_id: matchId, participant_id: participantId, trial_no: trialNo }
}

async function readOrder(flags: SubmitFlags, session: Session): Promise<Order> {
  if (flags.file !== undefined) {
    const also = (['match', 'participant', 'variable'] as const).find((name) => flags[name] !== undefined)
    if (also === undefined) return readMessage(flags.file, session)
    throw usage(`--file and --${also} exclude each other`, 'Write everything into the file, or nothing.')
  }
  const [{ parseMatchId, parseParticipantId }, { readJsonText, readTextFile }] = await Promise.all([
    import('../trial-id.ts'),
    import('../read-json.ts'),
  ])
  const matchId = parseMatchId(need(flags.match, '--match'), '--match')
  const participantId = parseParticipantId(need(flags.participant, '--participant'), '--participant')
  const variable = need(flags.variable, '--variable')
  const text = variable === '-' ? await readTextFile('-', '--variable', session.io.stdin) : variable
  return { matchId, participantId, variable: readJsonText(text, '--variable') }
}

async function readMessage(path: string, session: Session): Promise<Order> {
  const [ids, { readJsonText, readTextFile }] = await Promise.all([
    import('../trial-id.ts'),
    import('../read-json.ts'),
  ])
  const message = readJsonText(await readTextFile(path, '--file', session.io.stdin), '--file')
  if (!isJsonObject(message))
    throw usage('--file holds no JSON object', 'It needs MatchID, ParticipantID and Variable.')
  const text = (key: string): string => {
    const value = message.get(key)
    if (typeof value === 'string') return value
    throw usage(`--file: ${key} is ${value === undefined ? 'missing' : 'no text'}`, `Add "${key}": "…".`)
  }
  const matchId = ids.parseMatchId(text('MatchID'), '--file: MatchID')
  const participantId = ids.parseParticipantId(text('ParticipantID'), '--file: ParticipantID')
  const variable = message.get('Variable')
  const trialNo = message.has('TrialNo') ? ids.parseTrialNo(text('TrialNo'), '--file: TrialNo') : undefined
  if (variable !== undefined)
    return { matchId, participantId, variable, ...(trialNo !== undefined && { trialNo }) }
  if (trialNo !== undefined) return { matchId, participantId, trialNo }
  throw usage(
    '--file: Variable is missing',
    'Add the solution as "Variable", or "TrialNo" of one that is stored.',
  )
}

function need(value: string | undefined, flag: string): string {
  if (value !== undefined) return value
  throw usage(`${flag} is missing`, `Add ${flag}, or hand everything in by --file.`)
}

function usage(what: string, hint: string): OperatorError {
  return new OperatorError(what, '', hint, EXIT.usage)
}
