import type { GpuRequest } from '../../executors/executor.ts'
import { assertApart, RequestError, shown } from '../fields.ts'
import type { Language } from './languages.ts'
import type { CodeExecRequest, File } from './message.ts'
import { LEAST_LIMITS, LIMIT_NAMES, type CodeExecSettings, type Limits } from './settings.ts'
import { shellStub, STUBS } from './stubs.ts'

/** A container of the job's, and what goes into it. */
export interface Step {
  /** Never through a shell. */
  command: readonly string[]
  env: Readonly<Record<string, string>>
  input: Buffer
  /** What is bound into the working folder, for a program that no stub hands it to. */
  bound: readonly File[]
  limits: Limits
  /** Others like it will come: it tells nothing of its job before its input does. */
  isCommon: boolean
}

/** All that is to be done for a request. */
export interface Plan {
  request: CodeExecRequest
  image: string
  /** Undefined = the job's own image. */
  language: string | undefined
  compile: Step | undefined
  run: Step
  gpus: GpuRequest
  /** The job asks for the internet, and may have it. */
  internet: { image: string; dns: readonly string[] } | undefined
}

/** Walls of a compiler, which needs other room than the program that it makes; never above the config's maxima. */
const COMPILE_LIMITS: Partial<Limits> = {
  wallTimeMs: 30_000,
  cpuTimeMs: 30_000,
  memoryBytes: 1024 ** 3,
  pids: 128,
  outputBytes: 128 * 1024,
  fileSizeBytes: 256 * 1024 ** 2,
}

/** With the longest run it is to end before its message can't be held any more. */
const LONGEST_COMPILE_MS = 30 * 60_000

/** What a config allows a request to have. RequestError says in one sentence why it must be rejected. */
export function planJob(
  request: CodeExecRequest,
  settings: CodeExecSettings,
  {
    now,
    isImageAllowed,
  }: { now: Date; isImageAllowed: (image: string, patterns: readonly string[]) => boolean },
): Plan {
  const { program, deadline } = request
  if (deadline !== undefined && deadline <= now) {
    throw new RequestError(`its deadline ${deadline.toISOString()} has passed`)
  }
  const language = 'language' in program ? languageOf(program.language, settings.languages) : undefined
  if ('image' in program) assertImage(program.image, settings.allowImages, isImageAllowed)
  const internet = internetOf(request, settings)
  const limits = effectiveLimits(request.limits, settings)
  const all =
    language?.file === undefined ? request.files : [...request.files, codeFile(language.file, request.code)]
  assertApart(all.map(({ path }) => path))
  assertRoom(all, limits)
  return {
    request,
    image: 'image' in program ? program.image : (language?.image ?? ''),
    language: 'language' in program ? program.language : undefined,
    compile:
      language?.compile && compileStep(request, language, language.compile, limits, settings.maxLimits),
    run: runStep(request, language, limits),
    gpus: request.gpus,
    internet,
  }
}

function languageOf(name: string, languages: CodeExecSettings['languages']): Language {
  const language = Object.hasOwn(languages, name) ? languages[name] : undefined
  if (language !== undefined) return language
  const known = Object.keys(languages).sort().join(', ')
  throw new RequestError(`there is no language ${shown(name)} here; there are ${known}`)
}

function assertImage(
  image: string,
  allowed: CodeExecSettings['allowImages'],
  isImageAllowed: (image: string, patterns: readonly string[]) => boolean,
): void {
  if (allowed === true) return
  if (allowed === false || allowed.length === 0) {
    throw new RequestError('images are not allowed here (allow_images is false): name a language instead')
  }
  if (isImageAllowed(image, allowed)) return
  throw new RequestError(`the image ${shown(image)} is not allowed here; allowed are ${allowed.join(', ')}`)
}

function internetOf(
  { allowInternet }: CodeExecRequest,
  settings: CodeExecSettings,
): { image: string; dns: readonly string[] } | undefined {
  if (!allowInternet) return undefined
  const { image, dns } = settings.internet
  if (!settings.allowInternet || image === undefined) {
    throw new RequestError('the internet is not allowed here (allow_internet is false)')
  }
  return { image, dns }
}

/** What the job asks for on top of the defaults; all that is out of bounds is named. */
function effectiveLimits(asked: Partial<Limits>, { limits, maxLimits }: CodeExecSettings): Limits {
  const wrong = Object.entries(LIMIT_NAMES).flatMap(([name, key]) => {
    const value = asked[key] ?? limits[key]
    const [least, most] = [LEAST_LIMITS[key] ?? 0, maxLimits[key]]
    if (asked[key] === undefined || (value >= least && value <= most)) return []
    const bound = value > most ? `at most ${most} is allowed` : `at least ${least} is needed`
    return [`limits.${name} is ${value}, and ${bound}`]
  })
  if (wrong.length > 0) throw new RequestError(wrong.join('; '))
  return { ...limits, ...asked }
}

function codeFile(path: string, code: string): File {
  return { path, content: Buffer.from(code) }
}

function assertRoom(files: readonly File[], { fileSizeBytes, diskBytes }: Limits): void {
  let total = 0
  for (const { path, content } of files) {
    if (content.length > fileSizeBytes) {
      throw new RequestError(
        `the file ${shown(path)} has ${content.length} bytes, more than limits.file_size_bytes (${fileSizeBytes})`,
      )
    }
    total += content.length
  }
  if (total <= diskBytes) return
  throw new RequestError(`the files have ${total} bytes together, more than limits.disk_bytes (${diskBytes})`)
}

function compileStep(
  { code, files }: CodeExecRequest,
  { file = 'code' }: Language,
  command: readonly string[],
  limits: Limits,
  maxLimits: Limits,
): Step {
  const stub = shellStub(command)
  const most = { ...maxLimits, wallTimeMs: Math.min(maxLimits.wallTimeMs, LONGEST_COMPILE_MS) }
  const wanted = Object.entries(COMPILE_LIMITS) as [keyof Limits, number][]
  const own = wanted.map(([key, value]) => [key, Math.min(Math.max(value, limits[key]), most[key])] as const)
  return {
    command: stub.command,
    env: {},
    input: stub.frame({ code, file, files, args: [], env: {} }),
    bound: [],
    // The working folder is that of the run.
    limits: { ...limits, ...Object.fromEntries(own) },
    isCommon: false,
  }
}

function runStep(request: CodeExecRequest, language: Language | undefined, limits: Limits): Step {
  const { program, code, files, stdin, args, env } = request
  if (language?.stub !== undefined) {
    const stub = STUBS[language.stub]
    const frame = stub.frame({ code, file: language.file ?? 'code', files, args, env })
    const input = Buffer.concat([frame, Buffer.from(stdin)])
    return { command: stub.command, env: {}, input, bound: [], limits, isCommon: true }
  }
  const command = [...('command' in program ? program.command : (language?.command ?? [])), ...args]
  const step = { command, env, limits, isCommon: false }
  // The compiler's container has written them.
  if (language?.compile !== undefined) return { ...step, input: Buffer.from(stdin), bound: [] }
  if (language?.file !== undefined) {
    return { ...step, input: Buffer.from(stdin), bound: [...files, codeFile(language.file, code)] }
  }
  if (code !== '' && stdin !== '') {
    throw new RequestError(
      'stdin can not be given, since the code itself is the standard input of this program',
    )
  }
  return { ...step, input: Buffer.from(code === '' ? stdin : code), bound: files }
}
