import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'

/** The other side can't be reached, does not answer in time, or is out of order: trying again may help. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError'
}

/** What a server answered. */
export interface Answer {
  status: number
  /** Parsed JSON; undefined when it was none. */
  body: unknown
}

export interface Request {
  url: string
  headers?: Readonly<Record<string, string>>
  /** Sent as JSON by POST; left out = GET. */
  json?: unknown
  signal: AbortSignal
}

const TIMEOUT_MS = 10_000
const MAX_BYTES = 4 * 1024 ** 2
const ATTEMPTS = 3
const FIRST_PAUSE_MS = 250

/**
 * Asks a server once. UnreachableError when there is no answer within 10 s, one above 4 MiB, or a server error; rejects
 * with the signal's reason when aborted. No error holds any of the bodies.
 */
export async function request({ url, headers = {}, json, signal }: Request): Promise<Answer> {
  signal.throwIfAborted()
  const cut = new AbortController()
  const stop = (): void => {
    cut.abort(signal.reason)
  }
  signal.addEventListener('abort', stop, { once: true })
  const timer = setTimeout(() => {
    cut.abort(new UnreachableError(`${hostOf(url)} did not answer within ${TIMEOUT_MS / 1000} s`))
  }, TIMEOUT_MS)
  try {
    const response = await fetch(url, {
      headers,
      signal: cut.signal,
      // Tokens and passwords go where they were meant to go, and nowhere else.
      redirect: 'error',
      ...(json === undefined ? {} : { method: 'POST', body: JSON.stringify(json) }),
    })
    const text = await readText(response, url)
    if (response.status >= 500) throw new UnreachableError(`${hostOf(url)} answered ${response.status}`)
    return { status: response.status, body: parseJson(text) }
  } catch (error) {
    if (cut.signal.aborted) throw cut.signal.reason
    if (error instanceof UnreachableError) throw error
    throw new UnreachableError(`${hostOf(url)} can't be reached: ${reasonOf(error)}`)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

/** Does `work` again, a few times within about a second, while it throws UnreachableError. */
export async function withRetries<T>(clock: Clock, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let retry = 0; ; retry += 1) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof UnreachableError) || retry === ATTEMPTS - 1) throw error
    }
    await clock.sleep(retryPauseMs(retry, FIRST_PAUSE_MS, 1000), signal)
  }
}

/** A value of unknown JSON as a map; empty when it is none. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {}
}

/** A value of unknown JSON as text; undefined when it is none, or empty. */
export function asText(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

async function readText(response: Response, url: string): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    length += part.length
    if (length > MAX_BYTES)
      throw new UnreachableError(`${hostOf(url)} answered with more than ${MAX_BYTES} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message would quote the text, which may hold tokens.
    return undefined
  }
}

/** What lies below "fetch failed", which alone says nothing. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  const inner = cause instanceof AggregateError ? (cause.errors as unknown[])[0] : cause
  return messageOf(inner ?? error)
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url
}
