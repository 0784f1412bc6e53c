import type { IncomingMessage } from 'node:http'
import { shownUrl } from '../../core/shown-url.ts'
import { FileError, type Carrier, type Content, type Reading, type RemoteRequest } from '../files.ts'
import { failure } from './answer.ts'
import { exchange, networkError } from './exchange.ts'
import { createForm } from './form.ts'
import { createGuard, type Guard } from './guard.ts'

/** Presigned URLs and other plain requests. With `privateHosts` no host but these is asked that is not public. */
export function createHttpCarrier(privateHosts?: readonly string[]): Carrier {
  const guard = createGuard(privateHosts)
  return {
    assertUsable: (url) => {
      assertUsable(url, guard)
    },
    read: (request, from, signal) => read(request, from, signal, guard),
    write: (request, content, signal) => write(request, content, signal, guard),
    below,
    close: () => undefined,
  }
}

function assertUsable(url: string, guard: Guard): void {
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) {
    throw new FileError('bad_url', '', `${shownUrl(url)} is no address of the web`)
  }
  guard.open(url)
}

async function read(
  request: RemoteRequest,
  from: { offset: number; version: string },
  signal: AbortSignal,
  guard: Guard,
): Promise<Reading> {
  const { url, method = 'GET' } = request
  // Packed bytes could neither be counted nor resumed.
  const headers = { ...request.headers, 'Accept-Encoding': 'identity' }
  const resumed = { ...headers, Range: `bytes=${from.offset}-`, 'If-Range': from.version }
  const response = await exchange({
    url,
    method,
    headers: from.offset > 0 ? resumed : headers,
    guard,
    signal,
  })
  const status = response.statusCode ?? 0
  // It became shorter, or is another now: from the beginning.
  if (from.offset > 0 && (status === 416 || status === 412)) {
    response.destroy()
    return await read(request, { offset: 0, version: '' }, signal, guard)
  }
  if (status !== 200 && status !== 206) throw await failure(response, url)
  const version = versionOf(response)
  const body = bodyOf(response, url, signal)
  if (status === 200) return { offset: 0, total: lengthOf(response), version, body }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers['content-range'] ?? '')
  const isWanted = Number(range?.[1]) === from.offset && (from.offset === 0 || version === from.version)
  if (!isWanted) {
    response.destroy()
    if (from.offset > 0) return await read(request, { offset: 0, version: '' }, signal, guard)
    throw new FileError('refused', '', `${shownUrl(url)} answered with a part of the content`)
  }
  const total = range?.[2] === '*' ? undefined : Number(range?.[2])
  return { offset: from.offset, total, version, body }
}

async function write(
  request: RemoteRequest,
  content: Content,
  signal: AbortSignal,
  guard: Guard,
): Promise<void> {
  const { url, fields } = request
  const method = (request.method ?? (fields === undefined ? 'PUT' : 'POST')).toUpperCase()
  const isForm = method === 'POST'
  const form = isForm ? createForm(fields ?? {}, content) : undefined
  const given = request.headers ?? {}
  const hasType = Object.keys(given).some((name) => name.toLowerCase() === 'content-type')
  const type = content.type === undefined || hasType ? {} : { 'Content-Type': content.type }
  const headers = form === undefined ? { ...type, ...given } : withForm(given, form.contentType)
  const response = await exchange({ url, method, headers, guard, body: form ?? content, signal })
  const status = response.statusCode ?? 0
  // 303: done, and a page about it is elsewhere.
  if ((status < 200 || status > 299) && !(isForm && status === 303)) throw await failure(response, url)
  response.resume()
}

function below(request: RemoteRequest, path: string): RemoteRequest {
  const key = request.fields?.['key']
  if (!key?.includes('${filename}')) {
    throw new FileError(
      'bad_url',
      '',
      'a folder can not go to one URL: name its files, or use s3://, or a form whose key holds ${filename}',
    )
  }
  // Done here, since the server would put the bare name of the file.
  return { ...request, fields: { ...request.fields, key: key.replaceAll('${filename}', () => path) } }
}

function withForm(headers: Readonly<Record<string, string>>, contentType: string): Record<string, string> {
  const others = Object.entries(headers).filter(([name]) => !/^content-(?:type|length)$/i.test(name))
  return { ...Object.fromEntries(others), 'Content-Type': contentType }
}

/** What If-Range takes: a strong ETag, or the date. */
function versionOf({ headers }: IncomingMessage): string {
  const { etag } = headers
  if (etag !== undefined && !etag.startsWith('W/')) return etag
  return headers['last-modified'] ?? ''
}

function lengthOf({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length']
  return length !== undefined && /^\d+$/.test(length) ? Number(length) : undefined
}

async function* bodyOf(
  response: IncomingMessage,
  url: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) yield chunk
  } catch (error) {
    signal.throwIfAborted()
    throw networkError(error, url)
  }
}
