import type { Inspection, Inspector, QueueReport, TableReport } from '../../app/table.ts'
import type { Config } from '../../config/schema.ts'
import { EXIT, OperatorError } from '../../core/errors.ts'
import type { TrialKindName } from '../../kinds/index.ts'
import { failed, failedBy, ok, unchecked, type Check, type Finding } from './finding.ts'

/** Beyond it AWS refuses signatures, and so do those who check tokens. */
const LARGEST_SKEW_MS = 5 * 60_000
/** Below this a short fault of the surroundings can use up a message's receives. */
const SAFE_RECEIVE_COUNT = 10

export interface AwsContext {
  config: Config
  kinds: readonly TrialKindName[]
  local: boolean
  /** Rejects when the servers of this machine can't be opened. */
  inspector: Promise<Inspector>
  signal: AbortSignal
}

/** What has been asked; each rejects with the signal's reason, or when the config does not name it. */
interface Answers {
  queues: Map<TrialKindName, Promise<Inspection<QueueReport>>>
  table: Promise<Inspection<TableReport>>
}

/** Credentials, clock, each kind's queue and dead-letter queue, and the table. Every service is asked once. */
export function awsChecks(context: AwsContext): Check[] {
  const { kinds, inspector, signal } = context
  const ask = <T>(question: (found: Inspector) => Promise<T>): Promise<T> => {
    const asked = inspector.then(question)
    // Whoever needs the answer awaits it; nobody has to.
    asked.catch(() => undefined)
    return asked
  }
  const answers: Answers = {
    queues: new Map(kinds.map((kind) => [kind, ask((found) => found.queue(kind, signal))])),
    table: ask((found) => found.table(signal)),
  }
  return [
    { id: 'credentials', title: 'AWS credentials', run: () => checkCredentials(answers, context) },
    { id: 'clock', title: 'Clock', run: () => checkClock(answers, context) },
    ...[...answers.queues].flatMap(([kind, answer]): Check[] => [
      { id: `queue:${kind}`, title: `Queue of the ${kind}`, run: () => checkQueue(answer) },
      {
        id: `dead_letter:${kind}`,
        title: `Dead-letter queue of the ${kind}`,
        run: () => checkRedrive(answer, kind, context),
      },
    ]),
    { id: 'table', title: 'Table', run: () => checkTable(answers.table, context) },
  ]
}

type Answer = Inspection<QueueReport | TableReport>

/** The answers that came, without those that did not. */
async function settled({ queues, table }: Answers): Promise<Answer[]> {
  const all = await Promise.allSettled<Answer>([...queues.values(), table])
  return all.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
}

async function checkCredentials(answers: Answers, { config, local }: AwsContext): Promise<Finding> {
  if (local) return unchecked('the servers of this machine have keys of their own')
  const all = await settled(answers)
  const refused = all.find((answer) => 'problem' in answer && answer.blames !== 'service')
  if (refused !== undefined && 'problem' in refused) {
    if (refused.blames === 'signature' && isSkewed(skewOf(all)))
      return unchecked('the clock is wrong, and so is every signature made by it')
    return failedBy(refused.problem)
  }
  const source =
    config.access_key_id === undefined ? "from AWS's default chain" : 'access_key_id of the settings'
  if (all.some((answer) => 'found' in answer)) return ok(source)
  return unchecked('neither queue nor table could be asked')
}

async function checkClock(answers: Answers, { local }: AwsContext): Promise<Finding> {
  if (local) return unchecked('the servers of this machine have the same clock')
  const skewMs = skewOf(await settled(answers))
  if (skewMs === undefined) return unchecked('no server has said what time it is')
  const detail = describeSkew(skewMs)
  if (!isSkewed(skewMs)) return ok(detail)
  return failed(
    detail,
    'Set the clock of this machine, best by the network: `sudo timedatectl set-ntp true` on Linux. In a virtual machine, restart that.',
  )
}

function skewOf(answers: readonly Answer[]): number | undefined {
  return answers.map(({ clockSkewMs }) => clockSkewMs).find((skew) => skew !== undefined)
}

function isSkewed(skewMs: number | undefined): boolean {
  return skewMs !== undefined && Math.abs(skewMs) > LARGEST_SKEW_MS
}

function describeSkew(skewMs: number): string {
  const seconds = Math.round(Math.abs(skewMs) / 1000)
  if (seconds <= 2) return "agrees with the server's"
  const amount = seconds < 120 ? `${seconds} seconds` : `${Math.round(seconds / 60)} minutes`
  return `${amount} ${skewMs > 0 ? 'behind' : 'ahead of'} the server's`
}

/** What was answered, or that nothing was named to be asked. */
async function answerOf<T>(asked: Promise<Inspection<T>>): Promise<Inspection<T> | Finding> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof OperatorError && error.exitCode === EXIT.config) return unchecked(error.what)
    throw error
  }
}

const REFUSED = 'the credentials were refused'

async function checkQueue(asked: Promise<Inspection<QueueReport>>): Promise<Finding> {
  const report = await answerOf(asked)
  if ('status' in report) return report
  if ('problem' in report) return report.blames === 'service' ? failedBy(report.problem) : unchecked(REFUSED)
  const { messages } = report.found
  if (messages === undefined)
    return ok('there, and may be used (the credentials may not ask for more, and need not)')
  return ok(`there, with ${messages.waiting} waiting and ${messages.inFlight} in flight`)
}

async function checkRedrive(
  answer: Promise<Inspection<QueueReport>>,
  kind: TrialKindName,
  { config }: AwsContext,
): Promise<Finding> {
  const report = await answer.catch(() => undefined)
  if (report === undefined || 'problem' in report) return unchecked('the queue could not be asked')
  const { redrive } = report.found
  if (redrive === 'unknown') return unchecked('the credentials may not ask (sqs:GetQueueAttributes)')
  const command = setRedrive(
    (kind === 'evaluator' ? config.evaluator_queue_url : config.scorer_queue_url) ?? '',
  )
  if (redrive === 'none') {
    return failed(
      'the queue has none: messages that nobody can read come back until they expire',
      `Create a queue for them, and put its ARN into ${command}`,
    )
  }
  if (redrive.maxReceiveCount < SAFE_RECEIVE_COUNT) {
    return failed(
      `messages get there after ${redrive.maxReceiveCount} receives: a short fault of network or Docker can cost jobs`,
      `Raise maxReceiveCount to ${SAFE_RECEIVE_COUNT} or more: ${command}`,
    )
  }
  return ok(`messages get there after ${redrive.maxReceiveCount} receives`)
}

function setRedrive(queueUrl: string): string {
  const policy = JSON.stringify({
    deadLetterTargetArn: 'ARN',
    maxReceiveCount: String(SAFE_RECEIVE_COUNT),
  })
  const attributes = JSON.stringify({ RedrivePolicy: policy })
  return `\`aws sqs set-queue-attributes --queue-url ${queueUrl} --attributes '${attributes}'\``
}

async function checkTable(
  asked: Promise<Inspection<TableReport>>,
  { config, local }: AwsContext,
): Promise<Finding> {
  const report = await answerOf(asked)
  if ('status' in report) return report
  if ('problem' in report) return report.blames === 'service' ? failedBy(report.problem) : unchecked(REFUSED)
  const { status } = report.found
  const name = local ? "this machine's own" : (config.table_name ?? '')
  if (status === undefined)
    return ok(`${name}, with fitting keys (the credentials may not describe it, and need not)`)
  if (status !== 'ACTIVE' && status !== 'UPDATING') {
    return failed(`${name} is ${status}`, 'Wait until it is ACTIVE, or name another table as table_name.')
  }
  return ok(`${name}, with the keys ID and Trial`)
}
