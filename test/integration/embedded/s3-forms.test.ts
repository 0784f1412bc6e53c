import { createHmac, randomBytes } from 'node:crypto'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { expect, onTestFinished, test } from 'vitest'
import type { EmbeddedInfo } from '../../../src/embedded/index.ts'
import { openFiles } from '../../../src/app/files.ts'
import { open, temporaryFolder } from './support.ts'

const Bucket = 'opthub'

interface Wish {
  key?: string
  conditions?: unknown[]
  fields?: Record<string, string>
  expiresInMs?: number
  secret?: string
}

/** The fields of a form, signed as AWS documents it (POST policy, Signature Version 4). */
function signedFields(info: EmbeddedInfo, wish: Wish = {}): Record<string, string> {
  const {
    key = 'k',
    conditions = [],
    fields = {},
    expiresInMs = 60_000,
    secret = info.secretAccessKey,
  } = wish
  const timestamp = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = [timestamp.slice(0, 8), info.region, 's3', 'aws4_request']
  const own = {
    ...fields,
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': [info.accessKeyId, ...scope].join('/'),
    'x-amz-date': timestamp,
  }
  const prefix = key.replace('${filename}', '')
  const document = {
    expiration: new Date(Date.now() + expiresInMs).toISOString(),
    conditions: [
      { bucket: Bucket },
      prefix === key ? { key } : ['starts-with', '$key', prefix],
      ...Object.entries(own).map(([name, value]) => ({ [name]: value })),
      ...conditions,
    ],
  }
  const policy = Buffer.from(JSON.stringify(document)).toString('base64')
  const hmac = (secretKey: string | Buffer, text: string): Buffer =>
    createHmac('sha256', secretKey).update(text).digest()
  const signature = hmac(scope.reduce<string | Buffer>(hmac, `AWS4${secret}`), policy).toString('hex')
  return { key, ...own, policy, 'x-amz-signature': signature }
}

async function post(
  info: EmbeddedInfo,
  fields: Record<string, string>,
  file: Uint8Array<ArrayBuffer> | undefined,
  name = 'my file.bin',
): Promise<{ status: number; text: string; headers: Headers }> {
  const form = new FormData()
  for (const [field, value] of Object.entries(fields)) form.append(field, value)
  if (file !== undefined) form.append('file', new Blob([file]), name)
  const response = await fetch(`${info.endpoints.s3}/${Bucket}`, {
    method: 'POST',
    body: form,
    redirect: 'manual',
  })
  return { status: response.status, text: await response.text(), headers: response.headers }
}

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

async function bytesOf(s3: S3Client, Key: string): Promise<Buffer> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }))
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

test('a signed form stores its file, whatever its bytes look like', async () => {
  const { embedded, dataDir } = await open()
  const s3 = clientOf(embedded.info)
  const fields = { 'Content-Type': 'text/plain', 'x-amz-meta-who': 'me', success_action_status: '201' }
  const signed = signedFields(embedded.info, { key: 'in/${filename}', fields })
  for (const content of ['', '\r\n', '\r\n--', '\r\n------', randomBytes(3_000_000)]) {
    const bytes = new Uint8Array(Buffer.from(content as string))
    const answer = await post(embedded.info, signed, bytes, 'a/b/ü "1".bin')
    expect(answer).toMatchObject({ status: 201 })
    expect(answer.text).toContain('<Key>in/ü &#34;1&#34;.bin</Key>')
    const key = 'in/ü "1".bin'
    expect((await bytesOf(s3, key)).equals(bytes)).toBe(true)
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: key }))
    expect(head).toMatchObject({ ContentType: 'text/plain', Metadata: { who: 'me' } })
    expect(answer.headers.get('etag')).toBe(head.ETag)
  }
  expect(await readdir(join(dataDir, 'objects'))).toHaveLength(1)
})

test.each([
  [{}, 204],
  [{ success_action_status: '200' }, 200],
  [{ success_action_status: '299' }, 204],
  [{ success_action_redirect: 'http://localhost/done?x=1' }, 303],
] as const)('answers as %j wants it: %i', async (fields, status) => {
  const { embedded } = await open()
  const answer = await post(embedded.info, signedFields(embedded.info, { fields }), Buffer.from('x'))
  expect(answer.status).toBe(status)
  if (status === 303) {
    expect(answer.headers.get('location')).toMatch(/^http:\/\/localhost\/done\?x=1&bucket=opthub&key=k&etag=/)
  }
})

const small = Buffer.from('12345')
test.each<[string, Wish, Record<string, string>, number, string]>([
  ['a policy that is over', { expiresInMs: -1 }, {}, 403, 'Policy expired'],
  ['another key', {}, { key: 'other' }, 403, 'Policy Condition failed'],
  [
    'a key outside of the prefix',
    { key: 'in/${filename}' },
    { key: 'out/x' },
    403,
    'Policy Condition failed',
  ],
  ['a field that is not spoken of', {}, { 'x-amz-meta-a': 'b' }, 403, 'Extra input fields: x-amz-meta-a'],
  ['a wrong signature', { secret: 'x'.repeat(40) }, {}, 403, 'SignatureDoesNotMatch'],
  [
    'an unknown key',
    {},
    { 'x-amz-credential': 'AKIA/20260101/us-east-1/s3/aws4_request' },
    403,
    'InvalidAccessKeyId',
  ],
  ['a policy of its own', {}, { policy: 'e30=' }, 403, 'SignatureDoesNotMatch'],
  ['a file too large', { conditions: [['content-length-range', 0, 4]] }, {}, 400, 'EntityTooLarge'],
  ['a file too small', { conditions: [['content-length-range', 6, 9]] }, {}, 400, 'EntityTooSmall'],
  ['another bucket', { conditions: [['eq', '$bucket', 'other']] }, {}, 403, 'Policy Condition failed'],
  [
    'a condition that nobody knows',
    { conditions: [['ends-with', '$key', 'k']] },
    {},
    400,
    'InvalidPolicyDocument',
  ],
  [
    'a checksum that is not its own',
    { fields: { 'x-amz-checksum-crc32': 'AAAAAA==' } },
    {},
    400,
    'BadDigest',
  ],
  ['fields without end', {}, { 'x-ignore-a': 'x'.repeat(30_000) }, 400, 'MaxPostPreDataLengthExceeded'],
])('refuses %s', async (_what, wish, changed, status, said) => {
  const { embedded, dataDir } = await open()
  const answer = await post(embedded.info, { ...signedFields(embedded.info, wish), ...changed }, small)
  expect(answer).toMatchObject({ status, text: expect.stringContaining(said) as string })
  expect(await readdir(join(dataDir, 'objects'))).toEqual([])
  expect((await clientOf(embedded.info).send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(0)
})

test('refuses a form without policy, and one without file', async () => {
  const { embedded } = await open()
  expect(await post(embedded.info, { key: 'k' }, small)).toMatchObject({ status: 403 })
  expect(await post(embedded.info, signedFields(embedded.info), undefined)).toMatchObject({ status: 400 })
})

test('takes forms that were signed by the older algorithm', async () => {
  const { embedded } = await open()
  const { accessKeyId, secretAccessKey } = embedded.info
  const expiration = new Date(Date.now() + 60_000).toISOString()
  const policy = Buffer.from(JSON.stringify({ expiration, conditions: [{ bucket: Bucket }, { key: 'k' }] }))
  const encoded = policy.toString('base64')
  const signature = createHmac('sha1', secretAccessKey).update(encoded).digest('base64')
  const fields = { key: 'k', AWSAccessKeyId: accessKeyId, policy: encoded, signature }
  expect((await post(embedded.info, { ...fields, signature: 'x' }, small)).status).toBe(403)
  expect((await post(embedded.info, fields, small)).status).toBe(204)
})

test('keeps only what can be told again', async () => {
  const { embedded, dataDir } = await open()
  const fields = (value: string): Record<string, string> =>
    signedFields(embedded.info, { fields: { 'x-amz-meta-a': value } })
  expect(await post(embedded.info, fields('a\r\nb: c'), small)).toMatchObject({ status: 400 })
  expect(await readdir(join(dataDir, 'objects'))).toEqual([])
  expect(await post(embedded.info, fields('日本'), small)).toMatchObject({ status: 204 })
  const head = await clientOf(embedded.info).send(new HeadObjectCommand({ Bucket, Key: 'k' }))
  expect(head.Metadata).toEqual({ a: '=?UTF-8?B?5pel5pys?=' })
})

test('answers in the middle of a file that is far too large', async () => {
  const { embedded, dataDir } = await open()
  const signed = signedFields(embedded.info, { conditions: [['content-length-range', 0, 1000]] })
  const answer = await post(embedded.info, signed, new Uint8Array(30_000_000))
  expect(answer).toMatchObject({ status: 400, text: expect.stringContaining('EntityTooLarge') as string })
  expect(await readdir(join(dataDir, 'objects'))).toEqual([])
})

test('the runner’s own client sends a folder by a form', async () => {
  const { embedded } = await open()
  const folder = await temporaryFolder()
  const big = randomBytes(5_000_000)
  await mkdir(join(folder, 'out/in é'), { recursive: true })
  await writeFile(join(folder, 'out/big'), big)
  await writeFile(join(folder, 'out/in é/a "b".txt'), 'small')
  const files = openFiles({ s3: { region: 'us-east-1' } })
  onTestFinished(() => {
    files.close()
  })
  const limits = { signal: new AbortController().signal, maxBytes: 20_000_000 }
  const fields = signedFields(embedded.info, { key: 'got/${filename}' })
  const url = `${embedded.info.endpoints.s3}/${Bucket}`
  await files.upload([{ path: 'out', url, fields }], folder, limits)
  const s3 = clientOf(embedded.info)
  expect((await bytesOf(s3, 'got/big')).equals(big)).toBe(true)
  expect((await bytesOf(s3, 'got/in é/a "b".txt')).toString()).toBe('small')
  const closed = signedFields(embedded.info, { conditions: [['content-length-range', 0, 10]] })
  await expect(files.upload([{ path: 'out/big', url, fields: closed }], folder, limits)).rejects.toThrow(
    'EntityTooLarge',
  )
})
