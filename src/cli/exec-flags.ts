import { parseBytes, parseNumber, parseSeconds } from '../config/quantities.ts'
import { EXIT, OperatorError } from '../core/errors.ts'
import type { GpuRequest, TaskLimits } from '../executors/executor.ts'
import type { ImageCall, ImageMount } from '../image-runner.ts'

/** What commander makes of the flags of `exec`. */
export interface ExecFlags {
  mount?: string[]
  workdir?: string
  user?: string
  env?: string[]
  gpus?: string
  timeout?: string
  cpus?: string
  memory?: string
  pids?: string
  shmSize?: string
  network?: string
  readOnly?: true
  tmpfs?: string[]
  ulimit?: string[]
  runtime?: string
  platform?: string
  pull?: string
  /** False with --no-rm. */
  rm: boolean
}

/** The parts of a call that flags say. OperatorError with exit code 2 for what makes no sense. */
export function readExecFlags(flags: ExecFlags, environment: Readonly<Record<string, string | undefined>>) {
  const timeout =
    flags.timeout === undefined ? undefined : readAbove0('--timeout', flags.timeout, parseSeconds)
  const gpus = flags.gpus === undefined ? undefined : readGpus(flags.gpus)
  const pull = flags.pull === undefined ? undefined : readPull(flags.pull)
  return {
    mounts: (flags.mount ?? []).map(readMount),
    env: Object.fromEntries((flags.env ?? []).flatMap((text) => readEnv(text, environment))),
    limits: readLimits(flags),
    keep: !flags.rm,
    ...(flags.workdir === undefined ? {} : { workdir: flags.workdir }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(timeout === undefined ? {} : { timeoutMs: timeout * 1000 }),
    ...(gpus === undefined ? {} : { gpus }),
    ...(pull === undefined ? {} : { pull }),
  } satisfies Partial<ImageCall>
}

function readLimits(flags: ExecFlags): NonNullable<ImageCall['limits']> {
  const { cpus, memory, pids, shmSize, network, readOnly, tmpfs, ulimit, runtime, platform } = flags
  if (network !== undefined && network !== 'default' && network !== 'none')
    throw refusal('--network', network, 'default or none')
  if (platform !== undefined && !/^[a-z0-9]+\/[a-z0-9]+(\/[a-z0-9]+)?$/.test(platform))
    throw refusal('--platform', platform, 'a platform, such as linux/amd64')
  const limits: Omit<TaskLimits, 'user'> = {
    ...(cpus === undefined ? {} : { cpus: readAbove0('--cpus', cpus, parseNumber) }),
    ...(memory === undefined ? {} : { memoryBytes: readSize('--memory', memory) }),
    ...(pids === undefined ? {} : { pids: readWhole('--pids', pids) }),
    ...(shmSize === undefined ? {} : { shmBytes: readSize('--shm-size', shmSize) }),
    ...(network === undefined ? {} : { network }),
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(tmpfs === undefined ? {} : { tmpfs: Object.fromEntries(tmpfs.map(readTmpfs)) }),
    ...(ulimit === undefined ? {} : { ulimits: Object.fromEntries(ulimit.map(readUlimit)) }),
    ...(runtime === undefined ? {} : { runtime }),
    ...(platform === undefined ? {} : { platform }),
  }
  return limits
}

/** `SRC[:DST][:ro]`; a Windows path has a colon of its own. */
function readMount(text: string): ImageMount {
  const [, source = '', target, mode] =
    /^((?:[A-Za-z]:\\)?[^:]+)(?::(\/[^:]*))?(?::(ro|rw))?$/.exec(text) ?? []
  if (source === '') throw refusal('--mount', text, 'SRC, SRC:DST or SRC:DST:ro with an absolute DST')
  return { source, ...(target === undefined ? {} : { target }), readOnly: mode === 'ro' }
}

/** `NAME=VALUE`, or `NAME` for the caller's own value, if there is one. */
function readEnv(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): [string, string][] {
  const equals = text.indexOf('=')
  const name = equals < 0 ? text : text.slice(0, equals)
  if (name === '') throw refusal('--env', text, 'NAME=VALUE, or NAME for its value here')
  const value = equals < 0 ? environment[name] : text.slice(equals + 1)
  return value === undefined ? [] : [[name, value]]
}

function readGpus(text: string): GpuRequest {
  if (text === 'all') return text
  if (/^\d+$/.test(text)) return Number(text)
  const ids = text.split(',')
  if (ids.every((id) => /^(GPU|MIG)-[\w/-]+$/.test(id))) return ids
  throw refusal('--gpus', text, 'a number, all, or UUIDs such as GPU-5ebe7af3 with commas between them')
}

function readPull(text: string): NonNullable<ImageCall['pull']> {
  // The docker command's own word for it.
  if (text === 'missing') return 'if-not-present'
  if (text === 'always' || text === 'if-not-present' || text === 'never') return text
  throw refusal('--pull', text, 'always, if-not-present or never')
}

function readTmpfs(text: string): [string, string] {
  const [, path = '', options = ''] = /^(\/[^:]*)(?::(.*))?$/s.exec(text) ?? []
  if (path === '') throw refusal('--tmpfs', text, 'an absolute path, or PATH:OPTIONS such as /tmp:size=64m')
  return [path, options]
}

function readUlimit(text: string): [string, number] {
  const [, name = '', limit = ''] = /^([a-z]+)=(-?\d+)$/.exec(text) ?? []
  if (name === '') throw refusal('--ulimit', text, 'NAME=NUMBER, such as nofile=1024')
  return [name, Number(limit)]
}

function readSize(flag: string, text: string): number {
  const bytes = parseBytes(text)
  if (bytes === undefined || bytes < 1) throw refusal(flag, text, 'a size, such as 512m or 2g')
  return Math.round(bytes)
}

function readWhole(flag: string, text: string): number {
  const value = parseNumber(text)
  if (value === undefined || !Number.isInteger(value) || value < 1)
    throw refusal(flag, text, 'a whole number above 0')
  return value
}

function readAbove0(flag: string, text: string, parse: (text: string) => number | undefined): number {
  const value = parse(text)
  if (value === undefined || !(value > 0)) throw refusal(flag, text, 'a number above 0')
  return value
}

function refusal(flag: string, text: string, expected: string): OperatorError {
  return new OperatorError(`${flag} must be ${expected}`, '', `Not ${JSON.stringify(text)}.`, EXIT.usage)
}
