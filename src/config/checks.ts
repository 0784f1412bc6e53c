import { LONGEST_JOB_MS } from '../core/lease.ts'
import type { ConfigProblem } from './problem.ts'
import { LONGEST_LEASE_SECONDS, type Config } from './schema.ts'

/** A key that must be set for what is to be done. */
export type Need =
  | 'evaluator_queue_url'
  | 'scorer_queue_url'
  | 'code_exec.queue_url'
  | 'inference.queue_url'
  | 'fetcher.api_url'
  | 'table_name'
  | 'region_name'
  | 'matches'

interface Settings {
  config: Config
  /** Keys that are wrong by themselves; nothing more is said of them. */
  invalid: ReadonlySet<string>
}

type Finding = Omit<ConfigProblem, 'origin'>
type Report = (finding: Finding) => void
type Check = (settings: Settings, report: Report) => void

/** What must hold between settings, and does not. `invalid` are keys that are wrong by themselves. */
export function crossCheck(config: Config, invalid: ReadonlySet<string>): Finding[] {
  const findings: Finding[] = []
  for (const check of CHECKS) check({ config, invalid }, (finding) => findings.push(finding))
  return findings
}

const CHECKS: readonly Check[] = [
  keyPair,
  registryLogins,
  lease,
  handover,
  timeouts,
  outputs,
  matchEntries,
  queues,
  sandboxLimits,
  sandboxTime,
  sandboxInternet,
  models,
  modelTime,
]

const HOW_TO_SET: Record<Need, string> = {
  evaluator_queue_url: 'set it to the URL of the queue, or work without AWS by --local',
  scorer_queue_url: 'set it to the URL of the queue, or work without AWS by --local',
  'code_exec.queue_url': 'set it to the URL of the queue, or work without AWS by --local',
  'inference.queue_url': 'set it to the URL of the queue, or work without AWS by --local',
  'fetcher.api_url': 'set it to the address of the API, here or as API_URL in `.env` or the environment',
  table_name: 'set it to the name of the table, or work without AWS by --local',
  region_name: 'set it to the region of queue and table, such as ap-northeast-1, or set AWS_REGION',
  matches: 'write the image of each match under `matches:`, by UUID or for all by "*"',
}

/** The keys among `needs` that nothing has set. */
export function missingKeys(config: Config, invalid: ReadonlySet<string>, needs: readonly Need[]): Finding[] {
  const missing = needs.filter((key) => {
    const value = valueOf(config, key)
    return (
      value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
    )
  })
  return missing
    .filter((key) => !invalid.has(key.split('.', 1)[0] ?? key))
    .map((key) => error(key.split('.'), `${key} is missing`, HOW_TO_SET[key]))
}

function valueOf(config: Config, key: Need): unknown {
  return key.split('.').reduce<unknown>((value, part) => (value as Record<string, unknown>)[part], config)
}

function keyPair({ config, invalid }: Settings, report: Report): void {
  const pair = ['access_key_id', 'secret_access_key'] as const
  if (pair.some((key) => invalid.has(key))) return
  for (const [key, other] of [pair, pair.toReversed()] as [keyof Config, keyof Config][]) {
    if (config[key] !== undefined && config[other] === undefined) {
      report(
        error([key], `${key} is set, but ${other} is not`, 'set both, or none to use the AWS default chain'),
      )
    }
  }
}

function registryLogins({ config, invalid }: Settings, report: Report): void {
  if (invalid.has('docker')) return
  for (const [registry, login] of Object.entries(config.docker.registry_auth)) {
    const { username, password, token } = login
    const isPair = username !== undefined && password !== undefined && token === undefined
    const isToken = token !== undefined && username === undefined && password === undefined
    if (isPair || isToken) continue
    const message = `the login for ${registry} in docker.registry_auth is neither a username with its password nor a token`
    report(error(['docker', 'registry_auth', registry], message, 'set username and password, or token alone'))
  }
}

function lease({ config, invalid }: Settings, report: Report): void {
  if (['visibility_timeout', 'heartbeat_interval', 'wait_time'].some((key) => invalid.has(key))) return
  const { visibility_timeout: visibility, heartbeat_interval: heartbeat, wait_time: wait } = config
  // A message may be as old as the poll that brought it, and must still be renewed in time.
  const sum = heartbeat + wait
  const message = `heartbeat_interval (${heartbeat}) and wait_time (${wait}) together must stay well below visibility_timeout (${visibility})`
  if (sum >= visibility) report(error(['visibility_timeout'], message, 'a third each is safe'))
  else if (sum > 0.8 * visibility)
    report({ ...error(['visibility_timeout'], message, 'a third each is safe'), severity: 'warning' })
}

function handover({ config, invalid }: Settings, report: Report): void {
  const {
    lease_table: leases,
    table_name: table,
    handover_after: after,
    visibility_timeout: visibility,
  } = config
  if (leases !== undefined && leases === table) {
    report(
      error(
        ['lease_table'],
        'lease_table is the same as table_name',
        'lease records need a table of their own',
      ),
    )
  }
  if (['handover_after', 'visibility_timeout'].some((key) => invalid.has(key)) || after >= 2 * visibility)
    return
  // Whoever stands by must be able to see within one receive that the owner is dead.
  const message = `handover_after (${after}) is below twice the visibility_timeout (${visibility})`
  report(error(['handover_after'], message, 'leave it out: the default suits SQS'))
}

function timeouts({ config, invalid }: Settings, report: Report): void {
  if (config.lease_table !== undefined) return
  const found: [string[], number | undefined][] = invalid.has('timeout')
    ? []
    : [[['timeout'], config.timeout]]
  for (const [id, match] of Object.entries(config.matches)) {
    for (const part of ['problem', 'indicator'] as const)
      found.push([['matches', id, part, 'timeout'], match[part]?.timeout])
  }
  for (const [path, seconds] of found) {
    if (seconds === undefined || seconds <= LONGEST_LEASE_SECONDS) continue
    const message = `${path.join('.')} is above ${LONGEST_LEASE_SECONDS} (12 hours), the longest that SQS lets a message be held`
    report({
      ...error(path, message, 'longer jobs are cut off and tried again, unless lease_table is set'),
      severity: 'warning',
    })
  }
}

function outputs({ config, invalid }: Settings, report: Report): void {
  if (invalid.has('max_output') || invalid.has('max_total_output')) return
  if (config.max_output > config.max_total_output) {
    report(error(['max_output'], 'max_output is above max_total_output', 'lower the one or raise the other'))
  }
}

function matchEntries({ config }: Settings, report: Report): void {
  for (const [id, match] of Object.entries(config.matches)) {
    if (match.problem === undefined && match.indicator === undefined) {
      report(
        error(
          ['matches', id],
          `the match ${id} has neither problem nor indicator`,
          'give it `problem: {image: …}`',
        ),
      )
    }
  }
}

function queues({ config, invalid }: Settings, report: Report): void {
  const urls: [string, string | undefined][] = [
    ['evaluator_queue_url', config.evaluator_queue_url],
    ['scorer_queue_url', config.scorer_queue_url],
    ['code_exec.queue_url', config.code_exec.queue_url],
    ['inference.queue_url', config.inference.queue_url],
  ]
  for (const [index, [key, url]] of urls.entries()) {
    const twin = urls.slice(0, index).find(([, other]) => url !== undefined && other === url)
    if (twin === undefined || invalid.has(key)) continue
    const message = `${key} is the same as ${twin[0]}`
    report(error(key.split('.'), message, 'each kind needs a queue of its own'))
  }
}

function sandboxLimits({ config, invalid }: Settings, report: Report): void {
  if (invalid.has('code_exec')) return
  const { limits, max_limits: most } = config.code_exec
  for (const key of Object.keys(limits) as (keyof typeof limits)[]) {
    if (limits[key] <= most[key]) continue
    const message = `code_exec.limits.${key} (${limits[key]}) is above code_exec.max_limits.${key} (${most[key]})`
    report(error(['code_exec', 'limits', key], message, 'lower the one or raise the other'))
  }
}

function sandboxTime({ config, invalid }: Settings, report: Report): void {
  if (invalid.has('code_exec')) return
  const key = 'code_exec.max_limits.wall_time_ms'
  reportLongJobs(key, config.code_exec.max_limits.wall_time_ms, LONGEST_JOB_MS, report)
}

function sandboxInternet({ config, invalid }: Settings, report: Report): void {
  if (invalid.has('code_exec')) return
  const { allow_internet: isAllowed, network_image: image } = config.code_exec
  if (!isAllowed || image !== undefined) return
  const message = 'code_exec.allow_internet is set, but code_exec.network_image is not'
  const hint =
    'set it to an image with `sh` and `ip`, such as busybox: it closes the private networks before a job starts'
  report(error(['code_exec', 'allow_internet'], message, hint))
}

function models({ config, invalid }: Settings, report: Report): void {
  if (invalid.has('inference')) return
  const { image, url, triton, preload, mode, limits, max_limits: most } = config.inference
  const answering = [
    ...(image === undefined ? [] : ['inference.image']),
    ...(url === undefined ? [] : ['inference.url']),
    ...(triton.host === undefined ? [] : ['inference.triton.host']),
  ]
  if (answering.length > 1) {
    const message = `${answering.join(' and ')} exclude each other`
    report(error(['inference'], message, 'leave the one that is to answer'))
  }
  if (preload && answering.length === 0) {
    const message = 'inference.preload is set, but nothing says what to load'
    report(
      error(['inference', 'preload'], message, 'set inference.image, and inference.mode to jsonl or server'),
    )
  } else if (preload && image !== undefined && mode === 'oneshot') {
    const message = 'inference.preload is set, but in the mode oneshot no container is kept'
    report(error(['inference', 'preload'], message, 'set inference.mode to jsonl or server'))
  }
  for (const key of ['cpus', 'memory', 'shm_size', 'gpus'] as const) {
    const [value, bound] = [limits[key], most[key]]
    if (value === undefined || bound === undefined || value <= bound) continue
    const message = `inference.limits.${key} (${value}) is above inference.max_limits.${key} (${bound})`
    report(error(['inference', 'limits', key], message, 'lower the one or raise the other'))
  }
}

function modelTime({ config, invalid }: Settings, report: Report): void {
  if (invalid.has('inference')) return
  const { timeout, startup_timeout: startup, mode, url, triton } = config.inference
  const isStarted = mode !== 'oneshot' && url === undefined && triton.host === undefined
  const [and, time] = isStarted ? ['inference.startup_timeout plus ', startup + timeout] : ['', timeout]
  reportLongJobs('inference.timeout', time, LONGEST_JOB_MS / 1000, report, and)
}

/** Jobs of these kinds have no lease record, and nothing outlasts their messages. */
function reportLongJobs(key: string, time: number, longest: number, report: Report, and = ''): void {
  if (time <= longest) return
  const message = `${and}${key} (${time}) is above ${longest} (11 hours)`
  const hint =
    'lower it: SQS lets no message be held longer than 12 hours, and a job beyond that would be cut off and begun again'
  report(error(key.split('.'), message, hint))
}

function error(path: string[], message: string, hint: string): Finding {
  return { severity: 'error', path, message, hint }
}
