import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { retryPauseMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { OperatorError } from '../../core/errors.ts'
import { parseAnswer, readText, reasonOf } from '../../net/answer.ts'
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
    return { status, body: parseAnswer(text) }
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
  return { status: response.statusCode ?? 0, text: await readText(response, MAX_BYTES) }
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url
}
