import type { IncomingMessage, ServerResponse } from 'node:http'
import { send, sendXml } from './answer.ts'
import { contentOf } from './body.ts'
import { checkReadConditions, writeCondition } from './conditions.ts'
import { S3Error, s3Errors } from './errors.ts'
import { keptHeaders } from './headers.ts'
import type { ObjectStore } from './objects.ts'
import { placeOf, type Place } from './place.ts'
import { rangeOf } from './reads.ts'
import { blocksOf, textsOf } from './xml.ts'

const MAX_XML_BYTES = 4 * 1024 * 1024

/** Answers a PUT of an object or a part, from the body or from another object. */
export async function putObject(
  store: ObjectStore,
  { bucket, key }: Place,
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const part = partOf(query)
  const source = request.headers['x-amz-copy-source']
  if (typeof source === 'string') {
    await copy(store, { bucket, key }, placeOf(source.replace(/^\/?/, '/')), part, request, response)
    return
  }
  const content = contentOf(request)
  const { etag } =
    part === undefined
      ? await store.put(bucket, key, content, keptHeaders(request.headers), writeCondition(request.headers))
      : await store.putPart(bucket, key, part.id, part.number, content)
  response.setHeader('etag', `"${etag}"`)
  send(response, 200)
}

/** Answers a POST that makes one object of the parts of an upload. */
export async function completeUpload(
  store: ObjectStore,
  { bucket: Bucket, key: Key }: Place,
  id: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const parts = blocksOf(await readXml(request), 'Part').map((block) => ({
    part: Number(textsOf(block, 'PartNumber')[0]),
    etag: (textsOf(block, 'ETag')[0] ?? '').replaceAll('"', ''),
  }))
  if (parts.length === 0) throw new S3Error('MalformedXML', 400, 'The XML you provided names no part')
  if (parts.some(({ part }, index) => index > 0 && part <= (parts[index - 1]?.part ?? 0))) {
    throw new S3Error('InvalidPartOrder', 400, 'The list of parts was not in ascending order.')
  }
  const { etag } = await store.complete(Bucket, Key, id, parts, writeCondition(request.headers))
  const Location = `http://${request.headers.host ?? ''}/${Bucket}/${encodeURIComponent(Key)}`
  sendXml(response, 'CompleteMultipartUploadResult', { Location, Bucket, Key, ETag: `"${etag}"` })
}

/** The body of a request that is a small document. */
export async function readXml(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of contentOf(request)) {
    bytes += chunk.length
    if (bytes > MAX_XML_BYTES) throw s3Errors.invalid('The body is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

interface Part {
  id: string
  number: number
}

function partOf(query: URLSearchParams): Part | undefined {
  const id = query.get('uploadId')
  if (id === null) return undefined
  const number = Number(query.get('partNumber'))
  if (Number.isInteger(number) && number >= 1 && number <= 10_000) return { id, number }
  throw s3Errors.invalidArgument('Part number must be an integer between 1 and 10000, inclusive')
}

async function copy(
  store: ObjectStore,
  { bucket, key }: Place,
  from: Place,
  part: Part | undefined,
  { headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  await store.assertBucket(from.bucket)
  const { object: source, content } = await store.open(from.bucket, from.key)
  try {
    checkReadConditions(headers, source, 'x-amz-copy-source-')
    if (part === undefined) {
      const replaced = headers['x-amz-metadata-directive'] === 'REPLACE'
      const kept = replaced ? keptHeaders(headers) : source.headers
      const bytes = content.read(0, source.bytes - 1)
      const object = await store.put(bucket, key, bytes, kept, writeCondition(headers))
      sendXml(response, 'CopyObjectResult', { ETag: `"${object.etag}"`, LastModified: object.modified })
      return
    }
    const wanted = rangeOf(String(headers['x-amz-copy-source-range'] ?? ''), source.bytes)
    const { start, end } = wanted ?? { start: 0, end: source.bytes - 1 }
    const object = await store.putPart(bucket, key, part.id, part.number, content.read(start, end))
    sendXml(response, 'CopyPartResult', { ETag: `"${object.etag}"`, LastModified: object.modified })
  } finally {
    await content.close()
  }
}
