import { randomUUID } from 'node:crypto'
import { parseNumber } from '../config/quantities.ts'
import { EXIT, OperatorError, PoisonError } from '../core/errors.ts'
import { ExactNumber } from '../core/exact-number.ts'
import { formatJson, fromPlain, type Json } from '../core/json.ts'
import {
  parseInferenceMessage,
  type InferenceMessage,
  type InferenceRequest,
} from '../kinds/inference/message.ts'
import { environmentEntryOf, memoryOf, timeoutOf, usage } from './flag-values.ts'
import type { CallFlags } from './inference-flags.ts'
import type { Session } from './io.ts'
import { readJsonText, readTextFile } from './read-json.ts'

/** The message that the flags describe. OperatorError with exit code 2 for what makes no sense. */
export async function inferenceMessage(
  flags: CallFlags,
  args: readonly string[],
  session: Session,
): Promise<string> {
  const { image, mode, protocol, path, timeout, memory, gpus, port, env } = flags
  const server = {
    ...(port === undefined ? {} : { port: numberOf(port, '--port') }),
    ...(args.length === 0 ? {} : { args: [...args] }),
    ...(env === undefined ? {} : { env: Object.fromEntries(env.map(environmentEntryOf)) }),
  }
  const resources = {
    ...(gpus === undefined ? {} : { gpus: numberOf(gpus, '--gpus') }),
    ...(memory === undefined ? {} : { memory_mb: memoryOf(memory) / 1024 ** 2 }),
  }
  return formatJson(
    fromPlain({
      id: flags.id ?? randomUUID(),
      image,
      mode,
      protocol,
      path,
      ...(await contentOf(flags, session)),
      ...(Object.keys(server).length === 0 ? {} : { server }),
      ...(Object.keys(resources).length === 0 ? {} : { resources }),
      ...(timeout === undefined ? {} : { timeout_s: timeoutOf(timeout) }),
    }),
  )
}

/**
 * The call that a message describes. What is wrong with it is said to whoever sends it, not to the table: OperatorError
 * with exit code 2.
 */
export function readCall(body: string): InferenceRequest {
  let message: InferenceMessage
  try {
    message = parseInferenceMessage(body)
  } catch (error) {
    if (!(error instanceof PoisonError)) throw error
    throw usage(`The job can't be named so: ${error.message}`, 'Give it another id, or none.')
  }
  if (!('problem' in message)) return message.request
  throw new OperatorError(
    'The call makes no sense',
    message.problem,
    'Mend that; nothing was started.',
    EXIT.usage,
  )
}

/** Flags of a call make no sense where the whole message is in a file. OperatorError with exit code 2. */
export function assertNoCallFlags(flags: CallFlags, args: readonly string[]): void {
  const names: Record<keyof CallFlags, string> = {
    image: '--image',
    prompt: '--prompt',
    input: '--input',
    messages: '--messages',
    maxTokens: '--max-tokens',
    mode: '--mode',
    protocol: '--protocol',
    path: '--path',
    port: '--port',
    env: '--env',
    gpus: '--gpus',
    memory: '--memory',
    timeout: '--timeout',
    id: '--id',
  }
  const given = Object.entries(names).find(([key]) => flags[key as keyof CallFlags] !== undefined)
  const what = args[0] === undefined ? given?.[1] : `the argument ${args[0]}`
  if (what === undefined) return
  throw usage(`--message-file and ${what} exclude each other`, 'Write everything into the file, or nothing.')
}

async function contentOf(flags: CallFlags, session: Session): Promise<Record<string, Json>> {
  const { prompt, input, messages, maxTokens } = flags
  const given = [
    ...(prompt === undefined ? [] : ['--prompt']),
    ...(input === undefined ? [] : ['--input']),
    ...(messages === undefined ? [] : ['--messages']),
  ]
  if (given.length > 1) throw usage(`${given.join(' and ')} exclude each other`, 'Use one of them.')
  const { stdin } = session.io
  if (input !== undefined) {
    if (maxTokens !== undefined)
      throw usage('--input and --max-tokens exclude each other', 'Write max_tokens into the request.')
    return { body: readJsonText(await readTextFile(input, '--input', stdin), '--input') }
  }
  const content: Record<string, Json> = {}
  if (prompt !== undefined)
    content['prompt'] = prompt === '-' ? await readTextFile('-', '--prompt', stdin) : prompt
  else if (messages !== undefined)
    content['messages'] = readJsonText(await readTextFile(messages, '--messages', stdin), '--messages')
  else throw usage('Nothing is asked', 'Add --prompt, --messages or --input.')
  if (maxTokens === undefined) return content
  const most = ExactNumber.of(numberOf(maxTokens, '--max-tokens'))
  return { body: new Map<string, Json>([...Object.entries(content), ['max_tokens', most]]) }
}

function numberOf(text: string, flag: string): number {
  const number = parseNumber(text)
  if (number !== undefined && Number.isInteger(number) && number >= 0) return number
  throw usage(`${flag} ${text} is no number`, 'Write a whole number.')
}
