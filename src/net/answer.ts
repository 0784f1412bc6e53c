import type { IncomingMessage } from 'node:http'
import { messageOf } from '../core/errors.ts'

/** The whole body of an answer; Error when it is longer than `maxBytes`. */
export async function readText(response: IncomingMessage, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of response as AsyncIterable<Uint8Array>) {
    length += part.length
    if (length > maxBytes) throw new Error(`its answer is longer than ${maxBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

/** Parsed JSON; undefined when it is none: the parser's own message would quote the text, which may hold tokens. */
export function parseAnswer(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Why a request got no answer; of several addresses that were tried the first one's reason. */
export function reasonOf(error: unknown): string {
  return messageOf(error instanceof AggregateError ? (error.errors as unknown[])[0] : error)
}
