import { createHash, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { EmbeddedInfo } from '../../../src/embedded/index.ts'
import { compileChild } from '../../support/compile-child.ts'
import { startMember } from './child-process.ts'
import { open, temporaryFolder } from './support.ts'

const Bucket = 'opthub'
let script: string
let removeScript: () => void
beforeAll(() => {
  ;({ script, remove: removeScript } = compileChild(join(import.meta.dirname, 'child.ts'), [
    'core',
    'embedded',
  ]))
})
afterAll(() => {
  removeScript()
})

function clientOf(info: EmbeddedInfo, maxAttempts = 12): S3Client {
  const { accessKeyId, secretAccessKey, region } = info
  const s3 = new S3Client({
    region,
    endpoint: info.endpoints.s3,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts,
  })
  onTestFinished(() => {
    s3.destroy()
  })
  return s3
}

const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

test('a server that is killed in the middle of a write leaves nothing of it', async () => {
  const dataDir = await temporaryFolder()
  const server = await startMember(script, dataDir)
  const s3 = clientOf(server.info, 1)
  await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'old' }))
  const Body = new PassThrough()
  const cut = s3
    .send(new PutObjectCommand({ Bucket, Key: 'k', Body, ContentLength: 50_000_000 }))
    .catch((error: unknown) => error)
  Body.write(randomBytes(1_000_000))
  const objects = join(dataDir, 'objects')
  await expect
    .poll(async () => (await readdir(objects)).filter((name) => name.endsWith('.part')))
    .toHaveLength(1)
  await server.kill()
  expect(await cut).toBeInstanceOf(Error)
  Body.destroy()
  expect(await readdir(objects)).toHaveLength(2)
  const { embedded } = await open({}, dataDir)
  expect(await readdir(objects)).toHaveLength(1)
  const next = clientOf(embedded.info)
  expect((await next.send(new ListObjectsV2Command({ Bucket }))).Contents).toMatchObject([
    { Key: 'k', Size: 3 },
  ])
  const got = await next.send(new GetObjectCommand({ Bucket, Key: 'k' }))
  expect(await got.Body?.transformToString()).toBe('old')
})

test('an upload in parts goes on with the process that takes over', async () => {
  const dataDir = await temporaryFolder()
  const first = await startMember(script, dataDir)
  const { embedded } = await open({}, dataDir)
  expect(embedded.serving()).toBe(false)
  const Body = randomBytes(25 * 1024 * 1024)
  const upload = new Upload({
    client: clientOf(embedded.info),
    params: { Bucket, Key: 'big', Body },
    queueSize: 1,
  })
  let killed: Promise<void> | undefined
  upload.on('httpUploadProgress', () => {
    killed ??= first.kill()
  })
  await upload.done()
  await killed
  expect(embedded.serving()).toBe(true)
  const got = await clientOf(embedded.info).send(new GetObjectCommand({ Bucket, Key: 'big' }))
  expect(digest((await got.Body?.transformToByteArray()) ?? Buffer.alloc(0))).toBe(digest(Body))
  expect(await readdir(join(dataDir, 'objects'))).toHaveLength(1)
})

test('an upload whose last answer was lost is complete when asked again', async () => {
  const { embedded } = await open()
  const s3 = clientOf(embedded.info)
  const place = { Bucket, Key: 'k' }
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand(place))
  const part = await s3.send(new UploadPartCommand({ ...place, UploadId, PartNumber: 1, Body: 'all' }))
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag: part.ETag }] }
  const command = { ...place, UploadId, MultipartUpload }
  const first = await s3.send(new CompleteMultipartUploadCommand(command))
  expect((await s3.send(new CompleteMultipartUploadCommand(command))).ETag).toBe(first.ETag)
})
