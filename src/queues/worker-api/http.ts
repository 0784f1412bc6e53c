import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { childSignal } from '../../core/child-signal.ts'
import { OperatorError } from '../../core/errors.ts'
import { parseAnswer, readText, reasonOf } from '../../net/answer.ts'
import { proxyAgent } from '../../net/proxy.ts'

/** No answer, or one that says to come again: another try may help. Its text holds nothing of what was sent. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError'
  /** Undefined = there was no answer. */
  readonly status: number | undefined

  constructor(message: string, status?: number, options?: ErrorOptions) {
    super(message, options)
    this.status = status
  }
}

export interface Call {
  method: 'GET' | 'PUT' | 'POST'
  /** Where the server is; a path in it goes before `path`. */
  base: URL
  /** Sent as it is, nothing in it folded or encoded: `pathOf` makes it. */
  path: string
  headers?: Readonly<Record<string, string>>
  json?: unknown
  timeoutMs: number
  signal: AbortSignal
}

export interface Answer {
  status: number
  /** Parsed JSON; undefined when it was none. */
  body: unknown
}

const MAX_BYTES = 16 * 1024 ** 2
const COME_AGAIN: ReadonlySet<number> = new Set([429, 500, 502, 503, 504])

/**
 * Asks once. UnreachableError without an answer in time or with one that says to come again; the signal's reason when
 * aborted.
 */
export async function ask({ method, base, path, headers, json, timeoutMs, signal }: Call): Promise<Answer> {
  signal.throwIfAborted()
  const { signal: bounded, cut, free } = childSignal(signal)
  const timer = setTimeout(cut, timeoutMs)
  try {
    const body = json === undefined ? undefined : JSON.stringify(json)
    const agent = await proxyAgent(base.href)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = (base.protocol === 'https:' ? https : http).request({
        method,
        // What a URL object would make of the path is another path.
        path: base.pathname.replace(/\/+$/, '') + path,
        host: base.hostname.replace(/^\[|\]$/g, ''),
        ...(base.port !== '' && { port: base.port }),
        headers: {
          Host: base.host,
          Accept: 'application/json',
          ...headers,
          ...(body !== undefined && { 'Content-Length': Buffer.byteLength(body) }),
          ...(body === undefined && method !== 'GET' && { 'Content-Length': 0 }),
        },
        signal: bounded,
        ...(agent && { agent }),
      })
      request.on('response', resolve).on('error', reject).end(body)
    })
    const text = await readText(response, MAX_BYTES)
    const status = response.statusCode ?? 0
    if (COME_AGAIN.has(status)) throw new UnreachableError(`${base.host} answered ${status}`, status)
    // A token goes where it was meant to go, and nowhere else.
    if (status >= 300 && status < 400)
      throw new UnreachableError(`${base.host} points elsewhere (${status})`, status)
    return { status, body: parseAnswer(text) }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof UnreachableError || error instanceof OperatorError) throw error
    const why = bounded.aborted ? `no answer within ${timeoutMs / 1000} s` : reasonOf(error)
    throw new UnreachableError(`${base.host} can't be reached: ${why}`, undefined, { cause: error })
  } finally {
    clearTimeout(timer)
    free()
  }
}

/** Joins words to a path, each encoded once; slashes and the signs that may stand in a path stay as they are. */
export function pathOf(strings: TemplateStringsArray, ...words: readonly string[]): string {
  return strings.reduce((path, text, n) => path + encodePath(words[n - 1] ?? '') + text)
}

/** `?a=1&b=2`, of what is there; lists repeat their name. */
export function queryOf(
  values: Readonly<Record<string, string | number | readonly string[] | undefined>>,
): string {
  const parts = Object.entries(values).flatMap(([name, value]) =>
    (typeof value === 'object' ? value : value === undefined ? [] : [value]).map(
      (each) => `${name}=${encodeURIComponent(wellFormed(String(each)))}`,
    ),
  )
  return parts.length === 0 ? '' : `?${parts.join('&')}`
}

function encodePath(word: string): string {
  return encodeURIComponent(wellFormed(word)).replaceAll(
    /%(?:2F|3A|40|24|26|2B|2C|3B|3D)/g,
    decodeURIComponent,
  )
}

/** Half of a pair of surrogates can't be encoded. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd')
}
