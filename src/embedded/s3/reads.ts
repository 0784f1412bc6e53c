import type { IncomingMessage, ServerResponse } from 'node:http'
import { randomUUID } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import { checkReadConditions, dateText, isStale } from './conditions.ts'
import { s3Errors } from './errors.ts'
import { setAskedHeader } from './headers.ts'
import type { ObjectStore, StoredObject } from './objects.ts'

/** The first and the last byte, both included. */
export interface Range {
  start: number
  end: number
}

/** Answers GET and HEAD of an object. Throws S3Error before anything was sent. */
export async function sendObject(
  store: ObjectStore,
  bucket: string,
  key: string,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { object, content } = await store.open(bucket, key)
  try {
    checkReadConditions(request.headers, object)
    const stale = isStale(request.headers, object)
    const range = stale ? undefined : rangeOf(request.headers.range, object.bytes)
    const { start, end } = range ?? { start: 0, end: object.bytes - 1 }
    describe(object, query, response)
    if (range !== undefined) response.setHeader('content-range', `bytes ${start}-${end}/${object.bytes}`)
    response.writeHead(range === undefined ? 200 : 206, { 'content-length': end - start + 1 })
    if (request.method === 'HEAD') response.end()
    else await pipeline(content.read(start, end), response)
  } finally {
    await content.close()
  }
}

/** Undefined when `header` asks for none that can be given alone. Throws InvalidRange. */
export function rangeOf(header: string | undefined, bytes: number): Range | undefined {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (from === '' && to === '') return undefined
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined
  const start = from === '' ? Math.max(0, bytes - Number(to)) : Number(from)
  const end = from === '' || to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1)
  if (start > end) throw s3Errors.invalidRange(bytes)
  return { start, end }
}

function describe(object: StoredObject, query: URLSearchParams, response: ServerResponse): void {
  for (const [name, value] of Object.entries(object.headers)) response.setHeader(name, value)
  for (const name of ['content-type', 'content-disposition', 'content-encoding', 'cache-control']) {
    const wanted = query.get(`response-${name}`)
    if (wanted !== null) setAskedHeader(response, name, wanted)
  }
  response.setHeader('etag', `"${object.etag}"`)
  response.setHeader('last-modified', dateText(object))
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('x-amz-request-id', randomUUID())
}
