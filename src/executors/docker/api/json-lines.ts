import type { IncomingMessage } from 'node:http'
import { EngineError, transportError } from './errors.ts'

/** One line of what the engine says while it pulls or imports. */
export interface ProgressMessage {
  id?: string
  status?: string
  progressDetail?: { current?: number; total?: number }
}

const MAX_LINE_LENGTH = 1_000_000

/** The messages of a pull or an import as they come; an error among them is thrown as EngineError. */
export async function* progressMessages(
  response: IncomingMessage,
  label: string,
): AsyncGenerator<ProgressMessage> {
  for await (const line of jsonLines(response, label)) {
    const message = line as ProgressMessage & { error?: string; errorDetail?: { message?: string } }
    const said = message.errorDetail?.message ?? message.error
    if (said !== undefined) throw new EngineError(200, said)
    yield message
  }
}

/** A response of JSON lines, parsed as they come; RetryableError('engine') when it is cut off. */
export async function* jsonLines(response: IncomingMessage, label: string): AsyncGenerator {
  let rest = ''
  try {
    response.setEncoding('utf8')
    for await (const part of response) {
      const lines = (rest + (part as string)).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > MAX_LINE_LENGTH) throw new Error('its answer is no stream of JSON lines')
      for (const line of lines) if (line.trim() !== '') yield JSON.parse(line)
    }
    if (rest.trim() !== '') yield JSON.parse(rest)
  } catch (error) {
    throw transportError(error, label)
  } finally {
    response.destroy()
  }
}
