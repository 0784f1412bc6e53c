import { createHash, createHmac, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsCommand,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { expect, onTestFinished, test } from 'vitest'
import { Database } from '../../../src/embedded/database.ts'
import type { EmbeddedInfo } from '../../../src/embedded/index.ts'
import { ObjectStore } from '../../../src/embedded/s3/objects.ts'
import { failureOf, open, temporaryFolder } from './support.ts'

const Bucket = 'opthub'
const Key = 'k'
const place = { Bucket, Key }

function clientOf(info: EmbeddedInfo): S3Client {
  const { accessKeyId, secretAccessKey, region } = info
  const s3 = new S3Client({
    region,
    endpoint: info.endpoints.s3,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  })
  onTestFinished(() => {
    s3.destroy()
  })
  return s3
}

async function textOf(s3: S3Client, key = Key): Promise<string | undefined> {
  return await (await s3.send(new GetObjectCommand({ Bucket, Key: key }))).Body?.transformToString()
}

interface Sent {
  method: string
  path: string
  headers: Record<string, string>
}

/** What `act` would send, signed. */
async function recorded(info: EmbeddedInfo, act: (s3: S3Client) => Promise<unknown>): Promise<Sent> {
  const s3 = clientOf(info)
  let sent: Sent | undefined
  s3.middlewareStack.add(
    () => (args) => {
      sent = args.request as Sent
      throw new Error('recorded, not sent')
    },
    { step: 'deserialize', priority: 'low' },
  )
  await act(s3).catch(() => undefined)
  if (sent === undefined) throw new Error('nothing was signed')
  return sent
}

async function ask(
  info: EmbeddedInfo,
  { method, path, headers = {} }: { method: string; path: string; headers?: Record<string, string> },
  body?: string,
): Promise<{ status: number | undefined; text: string }> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest(info.endpoints.s3, { method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString() })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** A URL signed as AWS documents it, `ageMs` ago. */
function presigned(info: EmbeddedInfo, ageMs: number): string {
  const timestamp = new Date(Date.now() - ageMs).toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = [timestamp.slice(0, 8), info.region, 's3', 'aws4_request']
  const query = [
    'X-Amz-Algorithm=AWS4-HMAC-SHA256',
    `X-Amz-Credential=${encodeURIComponent([info.accessKeyId, ...scope].join('/'))}`,
    `X-Amz-Date=${timestamp}`,
    'X-Amz-Expires=60',
    'X-Amz-SignedHeaders=host',
  ].join('&')
  const { host } = new URL(info.endpoints.s3)
  const canonical = `GET\n/${Bucket}/${Key}\n${query}\nhost:${host}\n\nhost\nUNSIGNED-PAYLOAD`
  const hash = createHash('sha256').update(canonical).digest('hex')
  const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${info.secretAccessKey}`)
  const text = ['AWS4-HMAC-SHA256', timestamp, scope.join('/'), hash].join('\n')
  return `${info.endpoints.s3}/${Bucket}/${Key}?${query}&X-Amz-Signature=${hmac(key, text).toString('hex')}`
}

test('a presigned URL works for its time', async () => {
  const { embedded } = await open()
  await clientOf(embedded.info).send(new PutObjectCommand({ ...place, Body: 'x' }))
  expect(await (await fetch(presigned(embedded.info, 0))).text()).toBe('x')
  const late = await fetch(presigned(embedded.info, 70_000))
  expect(late.status).toBe(403)
  expect(await late.text()).toMatch(/<Code>AccessDenied<\/Code><Message>Request has expired/)
})

test('a URL presigned by the older algorithm works for its time, and for what it was made', async () => {
  const { embedded } = await open()
  const { accessKeyId, secretAccessKey, endpoints } = embedded.info
  const url = (method: string, inMs: number, type = ''): string => {
    const expires = String(Math.floor((Date.now() + inMs) / 1000))
    const text = [method, '', type, expires, `/${Bucket}/${Key}`].join('\n')
    const Signature = createHmac('sha1', secretAccessKey).update(text).digest('base64')
    const query = new URLSearchParams({ AWSAccessKeyId: accessKeyId, Signature, Expires: expires })
    return `${endpoints.s3}/${Bucket}/${Key}?${query.toString()}`
  }
  const put = async (type: string): Promise<number> => {
    const headers = { 'content-type': type }
    return (await fetch(url('PUT', 60_000, 'text/x'), { method: 'PUT', body: 'old', headers })).status
  }
  expect([await put('text/y'), await put('text/x')]).toEqual([403, 200])
  expect(await (await fetch(url('GET', 60_000))).text()).toBe('old')
  expect(await (await fetch(url('GET', -5000))).text()).toContain('Request has expired')
  expect(await (await fetch(url('PUT', 60_000))).text()).toContain('SignatureDoesNotMatch')
  const strange = url('GET', 60_000).replace(accessKeyId, 'AKIA')
  expect(await (await fetch(strange)).text()).toContain('InvalidAccessKeyId')
})

test('unsigned requests for objects are denied in S3’s words, others as before', async () => {
  const { embedded, log } = await open()
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const answer = await ask(embedded.info, { method, path: '/opthub/k' })
    expect(answer).toMatchObject({
      status: 403,
      text: expect.stringContaining('<Code>AccessDenied') as string,
    })
  }
  expect(await ask(embedded.info, { method: 'HEAD', path: '/opthub/k' })).toEqual({ status: 403, text: '' })
  const old = { method: 'GET', path: '/opthub/k', headers: { authorization: 'AWS a:b' } }
  expect(await ask(embedded.info, old)).toMatchObject({ status: 400 })
  const queue = new URL(embedded.info.queues.scorer).pathname
  expect((await ask(embedded.info, { method: 'GET', path: queue })).status).toBe(405)
  expect(log.filter(({ level }) => level === 'ERROR')).toEqual([])
})

test('conditions of reads and writes hold', async () => {
  const { embedded, dataDir } = await open()
  const s3 = clientOf(embedded.info)
  const { ETag } = await s3.send(new PutObjectCommand({ ...place, Body: '0123456789' }))
  const status = async (more: object): Promise<unknown> =>
    (await failureOf(s3.send(new GetObjectCommand({ ...place, ...more })))).status
  expect(await status({ IfMatch: '"other"' })).toBe(412)
  expect(await status({ IfNoneMatch: ETag })).toBe(304)
  expect(await status({ IfModifiedSince: new Date() })).toBe(304)
  expect(await status({ IfUnmodifiedSince: new Date(0) })).toBe(412)
  expect(await status({ Range: 'bytes=10-' })).toBe(416)
  expect((await s3.send(new GetObjectCommand({ ...place, IfMatch: ETag }))).ContentLength).toBe(10)
  const ranged = async (ifRange: string): Promise<number | undefined> => {
    const url = presigned(embedded.info, 0)
    return (await fetch(url, { headers: { range: 'bytes=2-4', 'if-range': ifRange } })).status
  }
  expect(await ranged(ETag ?? '')).toBe(206)
  expect(await ranged('"other"')).toBe(200)
  const write = async (more: object): Promise<unknown> =>
    (await failureOf(s3.send(new PutObjectCommand({ ...place, Body: 'new', ...more })))).status
  expect(await write({ IfNoneMatch: '*' })).toBe(412)
  expect(await write({ IfMatch: '"other"' })).toBe(412)
  expect(await textOf(s3)).toBe('0123456789')
  await s3.send(new PutObjectCommand({ ...place, Body: 'new', IfMatch: ETag }))
  expect(await textOf(s3)).toBe('new')
  expect(await readdir(join(dataDir, 'objects'))).toHaveLength(1)
})

test('of writers that must be first, one is', async () => {
  const { embedded, dataDir } = await open()
  const s3 = clientOf(embedded.info)
  const write = (Body: string): Promise<unknown> =>
    s3.send(new PutObjectCommand({ ...place, Body, IfNoneMatch: '*' }))
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => write(String(index))))
  const won = outcomes.findIndex(({ status }) => status === 'fulfilled')
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(await textOf(s3)).toBe(String(won))
  expect(await readdir(join(dataDir, 'objects'))).toHaveLength(1)
})

test('writers, readers and copiers of one key at the same time see whole objects', async () => {
  const { embedded, dataDir } = await open()
  const s3 = clientOf(embedded.info)
  const write = (index: number): Promise<unknown> =>
    s3.send(new PutObjectCommand({ ...place, Body: String(index % 10).repeat(200_000) }))
  await write(0)
  const acts = Array.from({ length: 60 }, async (_, index) => {
    if (index % 3 === 0) await write(index)
    else if (index % 3 === 1) expect(await textOf(s3)).toMatch(/^(\d)\1{199999}$/)
    else await s3.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/${Key}` }))
  })
  await Promise.all(acts)
  expect(await textOf(s3, 'copy')).toMatch(/^(\d)\1{199999}$/)
  expect(await readdir(join(dataDir, 'objects'))).toHaveLength(2)
})

test('an object can be read to its end although it was deleted meanwhile', async () => {
  const folder = await temporaryFolder()
  const database = await Database.open(join(folder, 'database'))
  onTestFinished(() => database.close())
  const objects = join(folder, 'objects')
  const store = await ObjectStore.open(database, objects)
  await store.createBucket(Bucket)
  await store.put(Bucket, Key, chunks('kept'), {})
  const { content } = await store.open(Bucket, Key)
  await store.remove(Bucket, Key)
  expect(await readdir(objects)).toEqual([])
  const read: Buffer[] = []
  for await (const chunk of content.read(0, 3)) read.push(chunk)
  expect(Buffer.concat(read).toString()).toBe('kept')
})

test('a put whose record can not be written leaves no file to the next opening', async () => {
  const folder = await temporaryFolder()
  const objects = join(folder, 'objects')
  const first = await Database.open(join(folder, 'database'))
  const store = await ObjectStore.open(first, objects)
  await store.createBucket(Bucket)
  async function* slow(): AsyncGenerator<Buffer> {
    yield Buffer.from('x')
    await first.close()
  }
  await expect(store.put(Bucket, Key, slow(), {})).rejects.toThrow()
  const second = await Database.open(join(folder, 'database'))
  onTestFinished(() => second.close())
  const reopened = await ObjectStore.open(second, objects)
  expect(await readdir(objects)).toEqual([])
  expect(await reopened.find(Bucket, Key)).toBeUndefined()
})

test('content that fails at its first byte leaves no file', async () => {
  const { store, objects } = await openStore()
  // eslint-disable-next-line @typescript-eslint/require-await
  async function* failing(): AsyncGenerator<Buffer> {
    throw new Error('cut')
  }
  // Whether a file were opened after its removal would be a matter of chance.
  for (let n = 0; n < 200; n += 1) {
    expect((await failureOf(store.put(Bucket, Key, failing(), {}))).message).toBe('cut')
  }
  expect(await readdir(objects)).toEqual([])
})

test('a store that closes cuts what is being written, and leaves nothing of it', async () => {
  const { store, objects } = await openStore()
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      yield Buffer.from('x')
    }
  }
  const cut = failureOf(store.put(Bucket, Key, endless(), {}))
  await expect.poll(() => readdir(objects)).toHaveLength(1)
  await store.close()
  expect(await readdir(objects)).toEqual([])
  expect((await cut).message).toMatch(/abort|closes/)
})

async function openStore(): Promise<{ store: ObjectStore; objects: string }> {
  const folder = await temporaryFolder()
  const objects = join(folder, 'objects')
  const database = await Database.open(join(folder, 'database'))
  onTestFinished(() => database.close())
  const store = await ObjectStore.open(database, objects)
  await store.createBucket(Bucket)
  return { store, objects }
}

async function* chunks(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text))
}

test.each([
  ['ends in its trailers', '3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n', 400],
  ['lacks its trailer', '3\r\nabc\r\n0\r\n\r\n', 400],
  ['goes on behind its end', '3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\nmore\r\n', 400],
  ['ends in a chunk', '3\r\nab', 400],
  ['has a chunk without size', 'abc\r\n', 400],
  ['is whole', '3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n', 200],
])('a framed body that %s', async (_what, body, status) => {
  const { embedded, dataDir } = await open()
  // The length of the stream is not known before, so the client frames it.
  const sent = await recorded(embedded.info, (s3) =>
    s3.send(new PutObjectCommand({ ...place, Body: Readable.from([Buffer.from('abc')]), ContentLength: 3 })),
  )
  expect(sent.headers['x-amz-trailer']).toBe('x-amz-checksum-crc32')
  const headers = Object.fromEntries(
    Object.entries(sent.headers).filter(([name]) => name !== 'content-length'),
  )
  const answer = await ask(
    embedded.info,
    { ...sent, path: `/${Bucket}/${Key}?x-id=PutObject`, headers },
    body,
  )
  expect(answer).toMatchObject({ status })
  expect(await readdir(join(dataDir, 'objects'))).toHaveLength(status === 200 ? 1 : 0)
})

test('parts are listed, copied, joined and thrown away', async () => {
  const { embedded, dataDir } = await open()
  const s3 = clientOf(embedded.info)
  await s3.send(new PutObjectCommand({ Bucket, Key: 'source', Body: '0123456789' }))
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand(place))
  const upload = { ...place, UploadId }
  const first = await s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: randomBytes(10) }))
  await s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'again' }))
  const copied = await s3.send(
    new UploadPartCopyCommand({
      ...upload,
      PartNumber: 7,
      CopySource: `${Bucket}/source`,
      CopySourceRange: 'bytes=2-4',
    }),
  )
  const { Parts } = await s3.send(new ListPartsCommand(upload))
  expect(Parts).toMatchObject([
    { PartNumber: 1, Size: 5 },
    { PartNumber: 7, Size: 3, ETag: copied.CopyPartResult?.ETag },
  ])
  const join1 = (ETag: string | undefined): Promise<unknown> =>
    s3.send(
      new CompleteMultipartUploadCommand({
        ...upload,
        MultipartUpload: { Parts: [{ PartNumber: 1, ETag }, ...(Parts ?? []).slice(1)] },
      }),
    )
  expect(await failureOf(join1(first.ETag))).toMatchObject({ name: 'InvalidPart' })
  await join1(Parts?.[0]?.ETag)
  expect(await textOf(s3)).toBe('again234')
  const other = await s3.send(new CreateMultipartUploadCommand(place))
  const second = { ...place, UploadId: other.UploadId }
  await s3.send(new UploadPartCommand({ ...second, PartNumber: 1, Body: 'x' }))
  await s3.send(new AbortMultipartUploadCommand(second))
  expect(await failureOf(s3.send(new ListPartsCommand(second)))).toMatchObject({ name: 'NoSuchUpload' })
  const late = s3.send(new UploadPartCommand({ ...second, PartNumber: 2, Body: 'x' }))
  expect(await failureOf(late)).toMatchObject({ name: 'NoSuchUpload', status: 404 })
  expect(await readdir(join(dataDir, 'objects'))).toHaveLength(2)
})

test('what is not known is named, and changes nothing', async () => {
  const { embedded } = await open()
  const s3 = clientOf(embedded.info)
  await s3.send(new PutObjectCommand({ ...place, Body: 'kept' }))
  const named = async (promise: Promise<unknown>): Promise<string> => {
    const { name, message, status } = await failureOf(promise)
    expect([name, status]).toEqual(['NotImplemented', 501])
    return message
  }
  const tags = { Tagging: { TagSet: [] } }
  expect(await named(s3.send(new PutObjectTaggingCommand({ ...place, ...tags })))).toContain(
    'PutObjectTagging',
  )
  const policy = new PutBucketPolicyCommand({ Bucket, Policy: '{}' })
  expect(await named(s3.send(policy))).toContain('PutBucketPolicy')
  expect(await named(s3.send(new GetBucketVersioningCommand({ Bucket })))).toContain('GetBucketVersioning')
  expect(await named(s3.send(new ListObjectVersionsCommand({ Bucket })))).toContain('ListObjectVersions')
  expect(await named(s3.send(new ListMultipartUploadsCommand({ Bucket })))).toContain('ListMultipartUploads')
  const version = new DeleteObjectCommand({ ...place, VersionId: 'abc' })
  expect(await named(s3.send(version))).toContain('version')
  expect(await textOf(s3)).toBe('kept')
})

test('buckets are listed, and deleted only when empty; the older listing goes on by its marker', async () => {
  const { embedded } = await open()
  const s3 = clientOf(embedded.info)
  expect((await s3.send(new ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name)).toEqual([Bucket])
  for (const key of ['a', 'b/1', 'b/2', 'c'])
    await s3.send(new PutObjectCommand({ Bucket, Key: key, Body: '' }))
  expect(await failureOf(s3.send(new DeleteBucketCommand({ Bucket })))).toMatchObject({
    name: 'BucketNotEmpty',
  })
  const seen: unknown[] = []
  for (let Marker: string | undefined, more = true; more;) {
    const page = await s3.send(new ListObjectsCommand({ Bucket, Delimiter: '/', MaxKeys: 1, Marker }))
    seen.push(
      ...(page.Contents ?? []).map((one) => one.Key),
      ...(page.CommonPrefixes ?? []).map((one) => one.Prefix),
    )
    more = page.IsTruncated === true
    Marker = page.NextMarker
  }
  expect(seen).toEqual(['a', 'b/', 'c'])
  for (const key of ['a', 'b/1', 'b/2', 'c']) await s3.send(new DeleteObjectCommand({ Bucket, Key: key }))
  await s3.send(new DeleteBucketCommand({ Bucket }))
  const gone = s3.send(new PutObjectCommand({ ...place, Body: 'x' }))
  expect(await failureOf(gone)).toMatchObject({ name: 'NoSuchBucket', status: 404 })
  expect(await failureOf(s3.send(new HeadObjectCommand(place)))).toMatchObject({ status: 404 })
})
