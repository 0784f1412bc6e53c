import type { Answers, SettingKey } from './answers.ts'

/** The text of a config file with comments, of which `config check` finds nothing to say. */
export function renderConfig(answers: Answers): string {
  const { local, match } = answers
  const sections = [
    [
      '# The settings of opthub-runner, as `opthub-runner init` wrote them. What is not written has its default:',
      '# config.default.yml lists every key, and `opthub-runner config check` finds every mistake.',
    ],
    local
      ? ["# Queues and table are this machine's own: start runners with --local."]
      : ['# Where jobs come from and results go', ...KEYS.flatMap((key) => settingLines(key, answers))],
    [
      '# Where each match finds its images',
      ...(match === undefined
        ? [
            "# OptHub knows them: log in by `opthub-runner login` with the competition administrator's account.",
          ]
        : matchLines(match)),
    ],
    ['# What is often changed; remove the "#" to set it', ...OFTEN_CHANGED],
  ]
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`
}

const KEYS: readonly SettingKey[] = [
  'evaluator_queue_url',
  'scorer_queue_url',
  'table_name',
  'region_name',
  'endpoint_url',
  'access_key_id',
  'secret_access_key',
]

const COMMENTS: Record<SettingKey, string> = {
  evaluator_queue_url: 'SQS queue of the evaluator',
  scorer_queue_url: 'SQS queue of the scorer',
  table_name: 'DynamoDB table with partition key ID and sort key Trial',
  region_name: 'AWS region of queues and table',
  endpoint_url: 'another server that speaks SQS and DynamoDB',
  access_key_id: 'AWS access key id; env:NAME and file:PATH are read',
  secret_access_key: 'its secret; env:NAME and file:PATH are read',
}

const OFTEN_CHANGED = [
  '# concurrency: 1  # jobs at a time; auto = one per CPU',
  '# timeout: 43200  # seconds a container may work',
  '# limits: {cpus: 2, memory: 4g, network: none}  # walls around every container',
  '# log_level: INFO  # DEBUG, INFO, WARNING, ERROR or CRITICAL',
]

function settingLines(key: SettingKey, { settings }: Answers): string[] {
  const value = settings[key]
  if (value !== undefined) return [`${key}: ${quote(value)}  # ${COMMENTS[key]}`]
  if (key === 'access_key_id')
    return ["# access_key_id and secret_access_key are left out: AWS's default chain gives the credentials."]
  return []
}

function matchLines({ id, problem, indicator }: NonNullable<Answers['match']>): string[] {
  const all = id === '*' ? '  # all matches that are not named' : ''
  return [
    'matches:',
    `  ${quote(id)}:${all}`,
    '    direction: minimize  # which scores are better, for display: minimize or maximize',
    ...(problem === undefined
      ? []
      : ['    problem:  # what the evaluator runs', `      image: ${quote(problem)}`]),
    ...(indicator === undefined
      ? []
      : ['    indicator:  # what the scorer runs', `      image: ${quote(indicator)}`]),
  ]
}

/** JSON's strings are YAML's too, whatever they hold. */
function quote(text: string): string {
  return /^[a-z][\w./-]*(:[\w./-]+)*$/i.test(text) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(text)
    ? text
    : JSON.stringify(text)
}
