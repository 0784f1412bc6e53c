import { createHash, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { EmbeddedInfo } from '../../../src/embedded/index.ts'
import { failureOf, open } from './support.ts'

type Checksums = 'WHEN_SUPPORTED' | 'WHEN_REQUIRED'

function client(info: EmbeddedInfo, checksums: Checksums = 'WHEN_SUPPORTED', secret?: string): S3Client {
  const s3 = new S3Client({
    region: info.region,
    endpoint: info.endpoints.s3,
    forcePathStyle: true,
    requestChecksumCalculation: checksums,
    responseChecksumValidation: checksums,
    credentials: { accessKeyId: info.accessKeyId, secretAccessKey: secret ?? info.secretAccessKey },
  })
  onTestFinished(() => {
    s3.destroy()
  })
  return s3
}

const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')
const Bucket = 'opthub'

describe.each(['WHEN_SUPPORTED', 'WHEN_REQUIRED'] as const)('S3 with checksums %s', (checksums) => {
  test('keeps bytes, type and metadata under any key', async () => {
    const { embedded } = await open()
    const s3 = client(embedded.info, checksums)
    for (const Key of ['a', 'x/../../y', '/lead', 'sp ace/日本+%41&<b>"', "q'(1)!*~"]) {
      const Body = randomBytes(100_000)
      await s3.send(
        new PutObjectCommand({ Bucket, Key, Body, ContentType: 'text/x', Metadata: { who: 'me' } }),
      )
      const got = await s3.send(new GetObjectCommand({ Bucket, Key }))
      expect(digest((await got.Body?.transformToByteArray()) ?? Buffer.alloc(0))).toBe(digest(Body))
      expect(got).toMatchObject({ ContentType: 'text/x', Metadata: { who: 'me' } })
    }
    expect((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(5)
  })

  test('takes uploads in parts, and gives ranges', async () => {
    const { embedded, dataDir } = await open()
    const s3 = client(embedded.info, checksums)
    const Body = randomBytes(12 * 1024 * 1024)
    await new Upload({ client: s3, params: { Bucket, Key: 'big', Body } }).done()
    const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'big' }))
    expect(digest((await got.Body?.transformToByteArray()) ?? Buffer.alloc(0))).toBe(digest(Body))
    const part = await s3.send(new GetObjectCommand({ Bucket, Key: 'big', Range: 'bytes=7-16' }))
    expect(part.ContentRange).toBe(`bytes 7-16/${String(Body.length)}`)
    expect(Buffer.from((await part.Body?.transformToByteArray()) ?? [])).toEqual(Body.subarray(7, 17))
    expect(await readdir(join(dataDir, 'objects'))).toHaveLength(1)
  })
})

test('lists by prefix and delimiter, page by page; copies and deletes', async () => {
  const { embedded } = await open()
  const s3 = client(embedded.info)
  const empty = { Bucket, Body: '' }
  for (const Key of ['a/1', 'a/2', 'b/1', 'c', 'd']) await s3.send(new PutObjectCommand({ ...empty, Key }))
  const seen: (string | undefined)[] = []
  for (let ContinuationToken: string | undefined, more = true; more;) {
    const command = new ListObjectsV2Command({ Bucket, Delimiter: '/', MaxKeys: 1, ContinuationToken })
    const page = await s3.send(command)
    seen.push(
      ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix),
      ...(page.Contents ?? []).map(({ Key }) => Key),
    )
    more = page.IsTruncated === true
    ContinuationToken = page.NextContinuationToken
  }
  expect(seen).toEqual(['a/', 'b/', 'c', 'd'])
  await s3.send(new CreateBucketCommand({ Bucket: 'other' }))
  await s3.send(new CopyObjectCommand({ Bucket: 'other', Key: 'c', CopySource: 'opthub/c' }))
  await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'a/1' }, { Key: 'c' }] } }))
  expect((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(3)
  expect((await s3.send(new ListObjectsV2Command({ Bucket: 'other' }))).KeyCount).toBe(1)
})

test('says no in S3’s words', async () => {
  const { embedded } = await open()
  const s3 = client(embedded.info)
  const Key = 'k'
  expect(await failureOf(s3.send(new GetObjectCommand({ Bucket, Key })))).toMatchObject({
    name: 'NoSuchKey',
    status: 404,
  })
  expect(await failureOf(s3.send(new HeadObjectCommand({ Bucket, Key })))).toMatchObject({ status: 404 })
  expect(await failureOf(s3.send(new GetObjectCommand({ Bucket: 'none', Key })))).toMatchObject({
    name: 'NoSuchBucket',
  })
  const wrong = new PutObjectCommand({
    Bucket,
    Key,
    Body: 'x',
    ChecksumSHA256: Buffer.alloc(32).toString('base64'),
  })
  expect(await failureOf(s3.send(wrong))).toMatchObject({ name: 'BadDigest', status: 400 })
  expect(await failureOf(s3.send(new HeadObjectCommand({ Bucket, Key })))).toMatchObject({ status: 404 })
  const forger = client(embedded.info, 'WHEN_REQUIRED', 'x'.repeat(40))
  expect(await failureOf(forger.send(new GetObjectCommand({ Bucket, Key })))).toMatchObject({
    name: 'SignatureDoesNotMatch',
    status: 403,
  })
})

test('an upload that is cut leaves what was there, and no file', async () => {
  const { embedded, dataDir } = await open()
  const s3 = client(embedded.info)
  await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'old' }))
  let sent: { headers: Record<string, string>; path: string } | undefined
  s3.middlewareStack.add(
    () => (args) => {
      sent = args.request as { headers: Record<string, string>; path: string }
      throw new Error('recorded, not sent')
    },
    { step: 'deserialize', priority: 'low' },
  )
  await s3
    .send(new PutObjectCommand({ Bucket, Key: 'k', Body: Buffer.alloc(1 << 20) }))
    .catch(() => undefined)
  if (sent === undefined) throw new Error('nothing was signed')
  const { headers, path } = sent
  await new Promise<void>((resolve) => {
    const request = httpRequest(embedded.info.endpoints.s3, { method: 'PUT', path, headers, agent: false })
    request.on('error', () => undefined)
    request.on('close', () => {
      resolve()
    })
    request.write(Buffer.alloc(1000), () => setTimeout(() => request.destroy(), 50))
  })
  await expect.poll(() => readdir(join(dataDir, 'objects'))).toHaveLength(1)
  const got = await client(embedded.info).send(new GetObjectCommand({ Bucket, Key: 'k' }))
  expect(await got.Body?.transformToString()).toBe('old')
})
