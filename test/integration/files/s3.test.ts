import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm, writeFile, mkdir } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createFiles } from '../../../src/files/choose.ts'
import type { Files } from '../../../src/files/files.ts'
import { createS3Carrier } from '../../../src/files/s3/s3-carrier.ts'

const { signal } = new AbortController()
const LIMITS = { signal, maxBytes: 100_000_000 }
const content = randomBytes(20_000_000)
const sha256 = createHash('sha256').update(content).digest('hex')

let folder: string
let server: Server
let files: Files
let objects: Map<string, Buffer>
let uploads: Map<string, Map<number, Buffer>>
let log: string[]
/** Answers a request in the server's place, when it returns true. */
let fault: (request: IncomingMessage, response: ServerResponse) => boolean

function no(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'Content-Type': 'application/xml' })
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>for a test</Message></Error>`)
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://x')
  const key = decodeURIComponent(pathname)
  log.push(`${request.method ?? ''} ${key}`)
  if (fault(request, response)) return
  const parts: Buffer[] = []
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part)
  const body = Buffer.concat(parts)
  const id = searchParams.get('uploadId') ?? ''
  const xml = (text: string): unknown =>
    response.writeHead(200, { 'Content-Type': 'application/xml' }).end(`<?xml version="1.0"?>${text}`)
  if (request.method === 'GET') {
    const object = objects.get(key)
    if (object === undefined) {
      no(response, 404, 'NoSuchKey')
      return
    }
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const ranged = start > 0 && { 'Content-Range': `bytes ${start}-${object.length - 1}/${object.length}` }
    response.writeHead(start > 0 ? 206 : 200, {
      ...ranged,
      ETag: '"e"',
      'Content-Length': object.length - start,
    })
    const piece = object.subarray(start, start + 8_000_000)
    response.write(piece, () => {
      setTimeout(() => (start + piece.length < object.length ? response.destroy() : response.end()), 20)
    })
  } else if (request.method === 'POST' && searchParams.has('uploads')) {
    uploads.set('u1', new Map())
    xml('<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>')
  } else if (request.method === 'POST') {
    const sent = [...(uploads.get(id) ?? [])].sort(([a], [b]) => a - b).map(([, part]) => part)
    objects.set(key, Buffer.concat(sent))
    uploads.delete(id)
    xml('<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')
  } else if (request.method === 'DELETE') {
    uploads.delete(id)
    response.writeHead(204).end()
  } else {
    if (id === '') objects.set(key, body)
    else uploads.get(id)?.set(Number(searchParams.get('partNumber')), body)
    response.writeHead(200, { ETag: '"e"' }).end()
  }
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'files-'))
  objects = new Map()
  uploads = new Map()
  log = []
  fault = () => false
  server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const carrier = createS3Carrier({
    region: 'us-east-1',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  })
  const never = (): never => {
    throw new Error('not used')
  }
  files = createFiles({
    carriers: { s3: () => Promise.resolve(carrier), http: never, file: never },
    patience: { firstPauseMs: 5, maxPauseMs: 20 },
  })
})

afterEach(async () => {
  files.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(folder, { recursive: true, force: true })
})

describe('files in S3', () => {
  it('are read on where they were cut', async () => {
    objects.set('/b/k é#?/%41.bin', content)
    await files.download([{ path: 'x', url: 's3://b/k é#?/%41.bin', sha256 }], folder, LIMITS)
    expect((await readFile(join(folder, 'x'))).equals(content)).toBe(true)
    expect(log.length).toBeGreaterThan(2)
  })

  it('are sent in parts, and whole folders', async () => {
    await mkdir(join(folder, 'out/in'), { recursive: true })
    await writeFile(join(folder, 'out/big'), content)
    await writeFile(join(folder, 'out/in/é 1'), 'small')
    await writeFile(join(folder, 'out/empty'), '')
    const progress: number[] = []
    const sent = await files.upload([{ path: 'out', url: 's3://b/far/' }], folder, {
      ...LIMITS,
      onProgress: ({ path, bytes }) => path === 'out/big' && progress.push(bytes),
    })
    expect(sent.map(({ url, bytes }) => [url, bytes])).toEqual([
      ['s3://b/far/big', content.length],
      ['s3://b/far/empty', 0],
      ['s3://b/far/in/é 1', 5],
    ])
    expect(sent[0]?.sha256).toBe(sha256)
    expect(objects.get('/b/far/big')?.equals(content)).toBe(true)
    expect(objects.get('/b/far/in/é 1')?.toString()).toBe('small')
    expect(objects.get('/b/far/empty')).toHaveLength(0)
    expect(progress.at(-1)).toBe(content.length)
  })

  it('leave no parts behind when a send is stopped', async () => {
    const ended = new AbortController()
    fault = (request) => {
      const isSecond = request.url?.includes('partNumber=2') === true
      if (isSecond) ended.abort(new Error('enough'))
      return isSecond
    }
    await writeFile(join(folder, 'big'), content)
    await expect(
      files.upload([{ path: 'big', url: 's3://b/big' }], folder, { ...LIMITS, signal: ended.signal }),
    ).rejects.toThrow('enough')
    expect(uploads.size).toBe(0)
    expect(log.some((line) => line.startsWith('DELETE'))).toBe(true)
    expect(objects.size).toBe(0)
  })

  it.each([
    [404, 'NoSuchKey', { name: 'FileError', reason: 'not_found' }],
    [404, 'NoSuchBucket', { name: 'FileError', reason: 'not_found' }],
    [403, 'AccessDenied', { name: 'FileError', reason: 'denied' }],
    [403, 'InvalidAccessKeyId', { name: 'RetryableError', surrounding: 'credentials' }],
    [403, 'SignatureDoesNotMatch', { name: 'RetryableError', surrounding: 'credentials' }],
    [400, 'ExpiredToken', { name: 'RetryableError', surrounding: 'credentials' }],
    [400, 'InvalidArgument', { name: 'FileError', reason: 'refused' }],
  ])('say %i %s as %j', async (status, code, expected) => {
    fault = (_, response) => {
      no(response, status, code)
      return true
    }
    await expect(files.readBytes('s3://b/k', LIMITS)).rejects.toMatchObject(expected)
    await expect(files.writeBytes('s3://b/k', Buffer.from('x'), LIMITS)).rejects.toMatchObject(expected)
  })

  it('outlast a server that is out of order', async () => {
    fault = (_, response) => {
      if (log.length > 5) return false
      no(response, 503, 'SlowDown')
      return true
    }
    await files.writeBytes('s3://b/k', Buffer.from('abc'), { signal, contentType: 'text/plain' })
    expect(Buffer.from(await files.readBytes('s3://b/k', LIMITS)).toString()).toBe('abc')
    expect(await readdir(folder)).toEqual([])
  })

  it.each(['s3://b', 's3:///k', 's3://b/'])('are not at %s', async (url) => {
    await expect(files.assertUsable(url)).rejects.toMatchObject({ reason: 'bad_url' })
  })
})
