import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { messageOf, OperatorError, PoisonError } from '../core/errors.ts'
import { fromPlain, formatJson } from '../core/json.ts'
import {
  parseCodeExecMessage,
  type CodeExecMessage,
  type CodeExecRequest,
} from '../kinds/code-exec/message.ts'
import type { CodeFlags } from './code-flags.ts'
import { environmentEntryOf, memoryOf, timeoutOf, usage } from './flag-values.ts'
import type { Session } from './io.ts'
import { readTextFile } from './read-json.ts'

/** The message that the flags describe. OperatorError with exit code 2 for what makes no sense. */
export async function codeMessage(
  flags: CodeFlags,
  args: readonly string[],
  { io }: Session,
): Promise<string> {
  assertApart(flags)
  const code = flags.code ?? flags.codeFile
  const text =
    flags.codeFile !== undefined || flags.code === '-'
      ? await readTextFile(flags.codeFile ?? '-', flags.code === '-' ? '--code' : '--code-file', io.stdin)
      : flags.code
  if (code === undefined && flags.image === undefined)
    throw usage('No program is given', 'Add --code, --code-file or --image.')
  const limits = {
    ...(flags.timeout === undefined ? {} : timeLimits(flags.timeout)),
    ...(flags.memory === undefined ? {} : { memory_bytes: memoryOf(flags.memory) }),
  }
  return formatJson(
    fromPlain({
      id: flags.id ?? randomUUID(),
      ...(flags.image === undefined
        ? { language: flags.language ?? 'python' }
        : { image: flags.image, command: [...args] }),
      ...(text === undefined ? {} : { code: text }),
      files: await Promise.all((flags.file ?? []).map(readGivenFile)),
      ...(flags.stdin === undefined ? {} : { stdin: await readTextFile(flags.stdin, '--stdin', io.stdin) }),
      ...(flags.image === undefined ? { args: [...args] } : {}),
      env: Object.fromEntries((flags.env ?? []).map(environmentEntryOf)),
      artifacts: flags.artifact ?? [],
      allow_internet: flags.allowInternet === true,
      limits,
    }),
  )
}

/**
 * The job that a message describes. What is wrong with it is said to whoever sends it, not to the table: OperatorError
 * with exit code 2 for its id, and with `rejection` for the rest.
 */
export function readRequest(body: string, rejection: number): CodeExecRequest {
  let message: CodeExecMessage
  try {
    message = parseCodeExecMessage(body)
  } catch (error) {
    if (!(error instanceof PoisonError)) throw error
    throw usage(`The job can't be named so: ${error.message}`, 'Give it another --id, or none.')
  }
  if (!('problem' in message)) return message.request
  throw new OperatorError(
    'The program would be rejected',
    message.problem,
    'Mend that; nothing was started.',
    rejection,
  )
}

/** Flags of a job make no sense without a program. OperatorError with exit code 2. */
export function assertNoCodeFlags(flags: CodeFlags, args: readonly string[]): void {
  const names: Record<keyof CodeFlags, string> = {
    code: '--code',
    codeFile: '--code-file',
    language: '--language',
    image: '--image',
    file: '--file',
    stdin: '--stdin',
    env: '--env',
    timeout: '--timeout',
    memory: '--memory',
    artifact: '--artifact',
    allowInternet: '--allow-internet',
    id: '--id',
  }
  const given = Object.entries(names).find(([key]) => flags[key as keyof CodeFlags] !== undefined)
  const what = args[0] === undefined ? given?.[1] : `the argument ${args[0]}`
  if (what === undefined) return
  throw usage(
    `No program is given, but ${what} is`,
    'Add --code, --code-file or --image; to work the queue leave it out.',
  )
}

function assertApart({ code, codeFile, image, language, stdin }: CodeFlags): void {
  if (code !== undefined && codeFile !== undefined)
    throw usage('--code and --code-file exclude each other', 'Use one of them.')
  if (image !== undefined && language !== undefined)
    throw usage('--image and --language exclude each other', 'Use one of them.')
  if (code === '-' && stdin === '-')
    throw usage("--code and --stdin can't both read standard input", 'Give the program by --code-file.')
}

/** A program that computes all the time may do so until its end. */
function timeLimits(text: string): { wall_time_ms: number; cpu_time_ms: number } {
  const ms = Math.max(1, Math.round(timeoutOf(text) * 1000))
  return { wall_time_ms: ms, cpu_time_ms: ms }
}

async function readGivenFile(path: string): Promise<{ path: string; content: string; encoding: 'base64' }> {
  try {
    return { path: basename(path), content: (await readFile(path)).toString('base64'), encoding: 'base64' }
  } catch (error) {
    throw usage(
      `--file ${path} can't be read: ${messageOf(error)}`,
      'Name a file that exists and may be read.',
    )
  }
}
