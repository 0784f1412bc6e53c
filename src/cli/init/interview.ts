import { configSchema } from '../../config/schema.ts'
import { EXIT, OperatorError } from '../../core/errors.ts'
import type { TrialKindName } from '../../kinds/index.ts'
import type { Answers, SettingKey } from './answers.ts'
import type { Asker } from './asker.ts'

/** What commander makes of the flags of `init`. */
export interface InitFlags {
  kind?: TrialKindName
  local?: true
  evaluatorQueueUrl?: string
  scorerQueueUrl?: string
  tableName?: string
  region?: string
  endpointUrl?: string
  accessKeyId?: string
  secretAccessKey?: string
  match?: string
  problemImage?: string
  indicatorImage?: string
}

/** What is asked again, since it was found wrong. */
export type Topic = 'credentials' | 'queue:evaluator' | 'queue:scorer' | 'table' | 'problem' | 'indicator'

export interface InterviewOptions {
  asker: Asker
  flags: InitFlags
  /** AWS_REGION of the environment, if it is set. */
  region: string | undefined
}

const KINDS = ['evaluator', 'scorer'] as const
const PARTS = { evaluator: 'problem', scorer: 'indicator' } as const

/** Asks for everything. OperatorError when an answer is missing or makes no sense. */
export async function interview(options: InterviewOptions): Promise<Answers> {
  const { asker, flags } = options
  checkFlags(flags)
  const kinds = await askKinds(options)
  const local = flags.local === true || (await askPlace(options)) === 'local'
  const settings: Answers['settings'] = {}
  if (!local) {
    for (const kind of kinds) await askQueue(kind, settings, options)
    await askTable(settings, options)
    await askRegion(settings, options)
    if (flags.endpointUrl !== undefined) settings.endpoint_url = valid('endpoint_url', flags.endpointUrl)
    await askCredentials(settings, options)
  }
  const match = await askMatch(kinds, local, options)
  asker.finish()
  return { kinds, local, settings, match }
}

/** Asks again for what was found wrong; everything else stays. */
export async function askAgain(
  answers: Answers,
  topics: ReadonlySet<Topic>,
  asker: Asker,
  region: string | undefined,
): Promise<Answers> {
  // What the flags said was wrong, too.
  const options: InterviewOptions = { asker, flags: {}, region }
  const settings = { ...answers.settings }
  for (const kind of answers.kinds) if (topics.has(`queue:${kind}`)) await askQueue(kind, settings, options)
  if (topics.has('table')) await askTable(settings, options)
  const places: Topic[] = ['queue:evaluator', 'queue:scorer', 'table']
  if (places.some((topic) => topics.has(topic))) await askRegion(settings, options)
  if (topics.has('credentials')) await askCredentials(settings, options)
  const match = answers.match === undefined ? undefined : { ...answers.match }
  for (const kind of answers.kinds) {
    const part = PARTS[kind]
    if (match !== undefined && topics.has(part)) match[part] = await askImage(kind, match[part], options)
  }
  return { ...answers, settings, match }
}

function checkFlags({ local, secretAccessKey, accessKeyId, ...flags }: InitFlags): void {
  if (secretAccessKey !== undefined && !/^(env|file):./.test(secretAccessKey)) {
    throw usage(
      '--secret-access-key takes env:NAME or file:PATH only',
      'others on this machine see the arguments of every program',
      'Put the secret into a variable or a file that only you can read, and name that.',
    )
  }
  if ((secretAccessKey === undefined) !== (accessKeyId === undefined)) {
    const [given, missing] =
      accessKeyId === undefined
        ? ['--secret-access-key', '--access-key-id']
        : ['--access-key-id', '--secret-access-key']
    throw usage(`${given} is given, but ${missing} is not`, '', 'Give both, or none.')
  }
  const remote = ['evaluatorQueueUrl', 'scorerQueueUrl', 'tableName', 'endpointUrl'] as const
  const clash = remote.find((name) => flags[name] !== undefined)
  if (local === true && clash !== undefined) {
    const flag = `--${clash.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
    throw usage(`--local and ${flag} exclude each other`, '', 'Use one of them.')
  }
}

async function askKinds({ asker, flags }: InterviewOptions): Promise<readonly TrialKindName[]> {
  if (flags.kind !== undefined) return [flags.kind]
  const given = KINDS.filter((kind) => flags[FLAGS[kind].property] !== undefined)
  if (given.length > 0 && !asker.isPerson) return given
  const chosen = await asker.choose({
    message: 'What will run here?',
    choices: [
      { value: 'both', name: 'evaluator and scorer' },
      { value: 'evaluator', name: 'evaluator: runs problem images' },
      { value: 'scorer', name: 'scorer: runs indicator images' },
    ],
    fallback: 'both',
  })
  return chosen === 'both' ? KINDS : [chosen]
}

async function askPlace({ asker, flags }: InterviewOptions): Promise<'aws' | 'local'> {
  if (flags.tableName !== undefined) return 'aws'
  return await asker.choose({
    message: 'Where do jobs come from?',
    choices: [
      { value: 'aws', name: 'SQS queues and a DynamoDB table of AWS' },
      { value: 'local', name: 'this machine (--local), with nothing to sign up for' },
    ],
    fallback: 'aws',
  })
}

const FLAGS = {
  evaluator: { property: 'evaluatorQueueUrl', flag: '--evaluator-queue-url' },
  scorer: { property: 'scorerQueueUrl', flag: '--scorer-queue-url' },
} as const

type Settings = Answers['settings']

async function askQueue(
  kind: TrialKindName,
  settings: Settings,
  { asker, flags }: InterviewOptions,
): Promise<void> {
  const key = `${kind}_queue_url` as const
  const { property, flag } = FLAGS[kind]
  settings[key] = await asker.text({
    flag,
    message: `URL of the ${kind}'s SQS queue`,
    given: flags[property],
    suggested: settings[key],
    validate: (answer) => problemOf(key, answer),
  })
}

async function askTable(settings: Settings, { asker, flags }: InterviewOptions): Promise<void> {
  settings.table_name = await asker.text({
    flag: '--table-name',
    message: 'Name of the DynamoDB table',
    given: flags.tableName,
    suggested: settings.table_name,
    validate: (answer) => problemOf('table_name', answer),
  })
}

async function askRegion(settings: Settings, { asker, flags, region }: InterviewOptions): Promise<void> {
  const urls = [settings.evaluator_queue_url, settings.scorer_queue_url]
  const found = urls
    .map((url) => /^https?:\/\/sqs\.([a-z0-9-]+)\.amazonaws\.com/.exec(url ?? '')?.[1])
    .find((each) => each !== undefined)
  settings.region_name = await asker.text({
    flag: '--region',
    message: 'AWS region',
    given: flags.region,
    suggested: found ?? settings.region_name ?? region,
    validate: (answer) => problemOf('region_name', answer),
  })
}

async function askCredentials(settings: Settings, { asker, flags }: InterviewOptions): Promise<void> {
  delete settings.access_key_id
  delete settings.secret_access_key
  if (flags.accessKeyId === undefined) {
    const source = await asker.choose({
      message: 'Who gives the AWS credentials?',
      choices: [
        { value: 'chain', name: "AWS's default chain: environment, profile or role" },
        { value: 'file', name: 'the config file (only you can read it)' },
      ],
      fallback: 'chain',
    })
    if (source === 'chain') return
  }
  settings.access_key_id = await asker.text({
    flag: '--access-key-id',
    message: 'Access key id (or env:NAME, file:PATH)',
    given: flags.accessKeyId,
    validate: (answer) => problemOf('access_key_id', answer),
  })
  settings.secret_access_key = await asker.secret({
    flag: '--secret-access-key',
    message: 'Its secret (or env:NAME, file:PATH)',
    given: flags.secretAccessKey,
    validate: (answer) => problemOf('secret_access_key', answer),
  })
}

async function askMatch(
  kinds: readonly TrialKindName[],
  local: boolean,
  options: InterviewOptions,
): Promise<Answers['match']> {
  const { asker, flags } = options
  const isGiven = [flags.match, flags.problemImage, flags.indicatorImage].some((each) => each !== undefined)
  if (!isGiven && !local) {
    const source = await asker.choose({
      message: 'Who knows the images of the matches?',
      choices: [
        { value: 'opthub', name: 'OptHub, to whoever logs in as the administrator of the competition' },
        { value: 'config', name: 'the config file' },
      ],
      fallback: 'opthub',
    })
    if (source === 'opthub') return undefined
  }
  const match: NonNullable<Answers['match']> = {
    id: await asker.text({
      flag: '--match',
      message: 'UUID of the match, or * for all',
      given: flags.match,
      suggested: '*',
      validate: (answer) => problemOf('matches', { [answer]: { problem: { image: 'x' } } }),
    }),
  }
  for (const kind of kinds) match[PARTS[kind]] = await askImage(kind, undefined, options)
  return match
}

async function askImage(
  kind: TrialKindName,
  suggested: string | undefined,
  { asker, flags }: InterviewOptions,
): Promise<string> {
  const part = PARTS[kind]
  return await asker.text({
    flag: `--${part}-image`,
    message: `Docker image of the ${part}`,
    given: part === 'problem' ? flags.problemImage : flags.indicatorImage,
    suggested,
    validate: (answer) => problemOf('matches', { '*': { [part]: { image: answer } } }),
  })
}

/** What the schema of the config says to a value. */
function problemOf(key: SettingKey | 'matches', value: unknown): string | undefined {
  const issue = configSchema.shape[key].safeParse(value).error?.issues[0]
  return issue?.code === 'invalid_key' ? issue.issues[0]?.message : issue?.message
}

function valid(key: SettingKey, value: string): string {
  const problem = problemOf(key, value)
  if (problem === undefined) return value
  throw usage(`--${key.replaceAll('_', '-')} ${problem}`, '', 'Give another value.')
}

function usage(what: string, why: string, hint: string): OperatorError {
  return new OperatorError(what, why, hint, EXIT.usage)
}
