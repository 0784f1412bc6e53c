import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import https from 'node:https'
import { messageOf, OperatorError } from '../../core/errors.ts'
import { shownUrl } from '../../core/shown-url.ts'
import { proxyAgent } from '../../net/proxy.ts'
import { FileError, TransientError } from '../files.ts'
import type { Guard } from './guard.ts'

export interface Exchange {
  url: string
  method: string
  headers: Readonly<Record<string, string>>
  guard: Guard
  /** Opened anew when the server points elsewhere. */
  body?: { bytes: number; open(): AsyncIterable<Uint8Array> }
  signal: AbortSignal
}

const MOST_REDIRECTS = 5
/** A socket on which nothing moves for so long is cut. */
const SILENCE_MS = 60_000
/** How long a server is waited for that does not know `Expect`. */
const CONTINUE_MS = 1_000
/** Smaller bodies are sent without asking first. */
const ASK_ABOVE_BYTES = 1024 ** 2

/** One request, redirects followed where they keep its meaning. The answer's body is still to be read or destroyed. */
export async function exchange(request: Exchange): Promise<IncomingMessage> {
  let { url, headers } = request
  let mayAsk = true
  for (let redirects = 0; ; redirects += 1) {
    const response = await once({ ...request, url, headers, mayAsk })
    if (response.statusCode === 417 && mayAsk) {
      response.destroy()
      mayAsk = false
      continue
    }
    const next = nextUrl(response, url, request.method)
    if (next === undefined) return response
    response.destroy()
    if (redirects === MOST_REDIRECTS) throw refused(url, `points elsewhere more than ${MOST_REDIRECTS} times`)
    if (!/^https?:$/.test(next.protocol) || (url.startsWith('https:') && next.protocol === 'http:')) {
      throw refused(url, 'points to an address that is not safe')
    }
    if (next.origin !== new URL(url).origin) headers = withoutSecrets(headers)
    url = next.href
  }
}

/** Sends one request; every failure of the network is a TransientError without the URL's query. */
async function once({
  url,
  method,
  headers,
  guard,
  body,
  signal,
  mayAsk,
}: Exchange & { mayAsk: boolean }): Promise<IncomingMessage> {
  signal.throwIfAborted()
  const lookup = guard.open(url)
  try {
    const agent = await proxyAgent(url)
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const asks = mayAsk && body !== undefined && body.bytes > ASK_ABOVE_BYTES
      const call = (url.startsWith('https:') ? https : http).request(url, {
        method,
        headers: {
          ...headers,
          ...(body === undefined ? {} : { 'Content-Length': String(body.bytes) }),
          ...(asks ? { Expect: '100-continue' } : {}),
        },
        signal,
        lookup,
        ...(agent === undefined ? {} : { agent }),
      })
      let begun = false
      const begin = (): void => {
        if (begun || answered) return
        begun = true
        send(call, body?.open()).catch((error: unknown) => {
          if (!answered) reject(error instanceof Error ? error : new Error(messageOf(error)))
          call.destroy()
        })
      }
      let answered = false
      const patience = asks ? setTimeout(begin, CONTINUE_MS) : undefined
      call.setTimeout(SILENCE_MS, () => {
        call.destroy(new Error(`nothing moved for ${SILENCE_MS / 1000} s`))
      })
      call.on('continue', begin)
      call.on('error', reject)
      call.on('close', () => {
        clearTimeout(patience)
      })
      call.on('response', (response) => {
        answered = true
        clearTimeout(patience)
        resolve(response)
      })
      if (asks) call.flushHeaders()
      else begin()
    })
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof FileError || error instanceof TransientError || error instanceof OperatorError)
      throw error
    throw networkError(error, url)
  }
}

async function send(call: ClientRequest, body: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  for await (const chunk of body ?? []) {
    if (call.destroyed) return
    if (!call.write(chunk)) await drained(call)
  }
  call.end()
}

async function drained(call: ClientRequest): Promise<void> {
  await new Promise<void>((resolve) => {
    const go = (): void => {
      call.off('drain', go)
      call.off('close', go)
      resolve()
    }
    call.on('drain', go)
    call.on('close', go)
  })
}

function nextUrl(response: IncomingMessage, url: string, method: string): URL | undefined {
  const { statusCode = 0, headers } = response
  if (headers.location === undefined) return undefined
  const keepsMethod = statusCode === 307 || statusCode === 308
  const isForReads = method === 'GET' && [301, 302, 303].includes(statusCode)
  if (!keepsMethod && !isForReads) return undefined
  if (!URL.canParse(headers.location, url)) throw refused(url, 'points to an address that is none')
  return new URL(headers.location, url)
}

/** What was meant for one server is not told to another. */
function withoutSecrets(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept = /^(?:range|if-range|accept-encoding|content-type)$/i
  return Object.fromEntries(Object.entries(headers).filter(([name]) => kept.test(name)))
}

function refused(url: string, why: string): FileError {
  return new FileError('refused', '', `${shownUrl(url)} ${why}`)
}

/** Of the network; its own cause is left out, since some of Node's errors hold the whole URL. */
export function networkError(error: unknown, url: string): TransientError {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error
  return new TransientError(`${shownUrl(url)} can't be reached: ${messageOf(first)}`)
}
