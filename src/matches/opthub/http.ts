import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf, OperatorError } from '../../core/errors.ts'
import { proxyAgent } from '../../net/proxy.ts'

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
    const body = json === undefined ? undefined : JSON.stringify(json)
    const { status, text } = await send(url, { headers, body, signal: cut.signal })
    if (status >= 500) throw new UnreachableError(`${hostOf(url)} answered ${status}`)
    // Tokens and passwords go where they were meant to go, and nowhere else.
    if (status >= 300 && status < 400)
      throw new UnreachableError(`${hostOf(url)} points elsewhere (${status})`)
    return { status, body: parseJson(text) }
  } catch (error) {
    if (cut.signal.aborted) throw cut.signal.reason
    if (error instanceof UnreachableError || error instanceof OperatorError) throw error
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

/** One request, through the proxy of the environment if there is one. */
async function send(
  url: string,
  { headers, body, signal }: { headers: Request['headers']; body: string | undefined; signal: AbortSignal },
): Promise<{ status: number; text: string }> {
  const agent = await proxyAgent(url)
  const options = {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ...headers, ...(body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }) },
    signal,
    ...(agent === undefined ? {} : { agent }),
  }
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const call = url.startsWith('https:') ? https.request : http.request
    call(url, options, resolve).on('error', reject).end(body)
  })
  return { status: response.statusCode ?? 0, text: await readText(response, url) }
}

async function readText(response: IncomingMessage, url: string): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of response as AsyncIterable<Uint8Array>) {
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

/** Of several addresses that were tried the first one's. */
function reasonOf(error: unknown): string {
  return messageOf(error instanceof AggregateError ? (error.errors as unknown[])[0] : error)
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url
}
