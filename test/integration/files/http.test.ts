import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm, symlink, writeFile, mkdir } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RetryableError } from '../../../src/core/errors.ts'
import { createFiles } from '../../../src/files/choose.ts'
import { createFileCarrier } from '../../../src/files/file/file-carrier.ts'
import { createHttpCarrier } from '../../../src/files/http/http-carrier.ts'
import type { Files, InputFile, Skipped } from '../../../src/files/files.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

const { signal } = new AbortController()
const LIMITS = { signal, maxBytes: 100_000_000 }
let folder: string
let server: Server
let base: string
let answer: Answer
let files: Files
let requests: IncomingMessage[]

function open(patienceMs: number, root?: string): Files {
  return createFiles({
    carriers: {
      s3: () => Promise.reject(new Error('not used')),
      http: () => Promise.resolve(createHttpCarrier()),
      file: () => Promise.resolve(createFileCarrier(root)),
    },
    patience: { patienceMs, firstPauseMs: 5, maxPauseMs: 20, idleMs: 300 },
  })
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'files-'))
  requests = []
  server = createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  files = open(60_000)
})

afterEach(async () => {
  files.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(folder, { recursive: true, force: true })
})

const content = randomBytes(3_000_000)
const sha256 = createHash('sha256').update(content).digest('hex')

async function get(input: Partial<InputFile> = {}, from: Files = files): Promise<void> {
  await from.download(
    [{ path: 'a/b c/é.bin', url: `${base}/f?X-Amz-Signature=topsecret`, ...input }],
    folder,
    LIMITS,
  )
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts)
}

describe('a download', () => {
  it('goes on where it was cut', async () => {
    answer = (request, response) => {
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const headers = { ETag: '"one"', 'Content-Length': content.length - start }
      if (start === 0) response.writeHead(200, headers)
      else
        response.writeHead(206, {
          ...headers,
          'Content-Range': `bytes ${start}-${content.length - 1}/${content.length}`,
        })
      const piece = content.subarray(start, start + 1_000_000)
      response.write(piece, () =>
        setTimeout(() => (start + piece.length < content.length ? response.destroy() : response.end()), 30),
      )
    }
    await get({ sha256 })
    expect((await readFile(join(folder, 'a/b c/é.bin'))).equals(content)).toBe(true)
    expect(await readdir(join(folder, 'a/b c'))).toEqual(['é.bin'])
    expect(requests.length).toBeGreaterThan(2)
    expect(requests[1]?.headers['if-range']).toBe('"one"')
    expect(requests.at(-1)?.headers.range).toMatch(/^bytes=[1-9]\d*-$/)
  })

  it('begins anew when the content became another', async () => {
    const other = randomBytes(1_500_000)
    answer = (_, response) => {
      if (requests.length === 1) {
        response.writeHead(200, { ETag: '"one"', 'Content-Length': content.length })
        response.write(content.subarray(0, 1_000_000), () => setTimeout(() => response.destroy(), 30))
      } else response.writeHead(200, { ETag: '"two"', 'Content-Length': other.length }).end(other)
    }
    await get({ sha256: createHash('sha256').update(other).digest('hex') })
    expect((await readFile(join(folder, 'a/b c/é.bin'))).equals(other)).toBe(true)
  })

  it('survives 503, a stall and a cut without an ETag', async () => {
    answer = (_, response) => {
      if (requests.length === 1) response.writeHead(503, { 'Retry-After': '0' }).end()
      else if (requests.length === 2) {
        response.writeHead(200, { 'Content-Length': content.length })
        response.write(content.subarray(0, 1000))
      } else if (requests.length === 3) response.destroy()
      else response.writeHead(200, { 'Content-Length': content.length }).end(content)
    }
    await get({ sha256 })
    expect((await readFile(join(folder, 'a/b c/é.bin'))).equals(content)).toBe(true)
    expect(requests).toHaveLength(4)
    expect(requests[2]?.headers.range).toBeUndefined()
  })

  it('is given up at the end of the patience, without its signature in the words', async () => {
    answer = (_, response) => response.writeHead(500).end()
    const failed = await get({}, open(50)).catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(RetryableError)
    expect(failed).toMatchObject({
      surrounding: 'files',
      message: expect.stringContaining('answered 500') as string,
    })
    expect(String(failed)).not.toContain('topsecret')
    expect(await readdir(join(folder, 'a/b c'))).toEqual([])
  })

  it.each([
    [403, 'denied'],
    [404, 'not_found'],
    [400, 'refused'],
  ])('of an answer %i fails at once: %s', async (status, reason) => {
    answer = (_, response) =>
      response
        .writeHead(status)
        .end('<Error><Code>Why</Code><Message>Not so</Message><StringToSign>s3cret</StringToSign></Error>')
    const failed = await get().catch((error: unknown) => error)
    expect(failed).toMatchObject({ name: 'FileError', reason, path: 'a/b c/é.bin' })
    expect(String(failed)).toContain('(Why: Not so)')
    expect(String(failed)).not.toMatch(/topsecret|s3cret/)
    expect(requests).toHaveLength(1)
  })

  it('refuses what is too large, before and while it comes, and a wrong checksum', async () => {
    answer = (request, response) => {
      if (request.url === '/chunked') response.write(content)
      else response.writeHead(200, { 'Content-Length': content.length })
      response.end(content)
    }
    for (const path of ['told', 'chunked']) {
      await expect(
        files.download([{ path, url: `${base}/${path}` }], folder, { signal, maxBytes: 2_000_000 }),
      ).rejects.toMatchObject({ reason: 'too_large', path })
    }
    await expect(get({ sha256: '0'.repeat(64) })).rejects.toMatchObject({ reason: 'checksum' })
    expect(await readdir(folder)).toEqual(['a'])
    expect(await readdir(join(folder, 'a/b c'))).toEqual([])
  })

  it('follows redirects without handing on what was meant for one server', async () => {
    answer = (request, response) => {
      if (request.url?.startsWith('/f'))
        response.writeHead(302, { Location: `${base.replace('127.0.0.1', 'localhost')}/g` }).end()
      else response.end(content)
    }
    await get({ sha256, headers: { Authorization: 'Bearer x' } })
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer x', undefined])
  })

  it('never follows a circle', async () => {
    answer = (_, response) => response.writeHead(302, { Location: '/f' }).end()
    await expect(get()).rejects.toMatchObject({ reason: 'refused' })
  })

  it.each(['../x', '/x', 'a/../x', '', '.', 'a//b', 'a\0b'])(
    'refuses the path %j and asks nobody',
    async (path) => {
      await expect(get({ path })).rejects.toMatchObject({ reason: 'unsafe_path' })
      expect(requests).toEqual([])
    },
  )

  it.each(['http://169.254.169.254/latest', 'http://[fe80::1]/', 'ftp://x/y', 'http://', 'gopher'])(
    'refuses %s',
    async (url) => {
      await expect(get({ url })).rejects.toMatchObject({ reason: 'bad_url' })
    },
  )

  it('never writes through a link', async () => {
    await symlink(tmpdir(), join(folder, 'a'))
    answer = (_, response) => response.end(content)
    await expect(get()).rejects.toMatchObject({ reason: 'unsafe_path' })
  })

  it('ends with the signal, and leaves nothing', async () => {
    const ended = new AbortController()
    answer = (_, response) => {
      response.writeHead(200, { 'Content-Length': content.length })
      response.write(content.subarray(0, 1000), () =>
        setTimeout(() => {
          ended.abort(new Error('enough'))
        }, 30),
      )
    }
    const input = { path: 'x', url: `${base}/x` }
    await expect(files.download([input], folder, { ...LIMITS, signal: ended.signal })).rejects.toThrow(
      'enough',
    )
    expect(await readdir(folder)).toEqual([])
  })

  it('asks for a new address before each try', async () => {
    answer = (request, response) => {
      if (request.url === '/1') response.writeHead(503).end()
      else response.end(content)
    }
    let asked = 0
    await get({ sha256, renew: () => Promise.resolve({ url: `${base}/${(asked += 1)}` }) })
    expect(requests.map(({ url }) => url)).toEqual(['/1', '/2'])
  })
})

describe('an upload', () => {
  it('is tried again from the beginning, with its length', async () => {
    await writeFile(join(folder, 'out.bin'), content)
    const got: Buffer[] = []
    answer = (request, response) => {
      if (requests.length === 1) response.writeHead(503).end()
      else if (requests.length === 2) request.once('data', () => request.destroy())
      else
        void bodyOf(request).then((body) => {
          got.push(body)
          response.end()
        })
    }
    const output = { path: 'out.bin', url: `${base}/k?Signature=topsecret`, type: 'text/x' }
    const sent = await files.upload([output], folder, LIMITS)
    expect(sent).toEqual([
      { path: 'out.bin', url: `${base}/k?…`, bytes: content.length, sha256, type: 'text/x' },
    ])
    expect(got[0]?.equals(content)).toBe(true)
    expect(requests.at(-1)?.headers).toMatchObject({
      'content-length': String(content.length),
      'content-type': 'text/x',
    })
    expect(requests.at(-1)?.method).toBe('PUT')
  })

  it('posts a form, the file last', async () => {
    await writeFile(join(folder, 'ü "q".txt'), 'hello')
    let body = ''
    answer = (request, response) =>
      void bodyOf(request).then((bytes) => {
        body = bytes.toString()
        response.writeHead(204).end()
      })
    const fields = { key: 'k/${filename}', policy: 'p' }
    await files.upload([{ path: 'ü "q".txt', url: base, fields, method: 'POST' }], folder, LIMITS)
    const [boundary = ''] = body.split('\r\n')
    expect(body.replaceAll(boundary, 'B')).toBe(
      [
        ...['B', 'Content-Disposition: form-data; name="key"', '', 'k/${filename}'],
        ...['B', 'Content-Disposition: form-data; name="policy"', '', 'p'],
        ...['B', 'Content-Disposition: form-data; name="file"; filename="ü %22q%22.txt"'],
        ...['Content-Type: application/octet-stream', '', 'hello', 'B--', ''],
      ].join('\r\n'),
    )
    expect(requests[0]?.headers['content-length']).toBe(String(Buffer.byteLength(body)))
  })

  it('puts a folder where the key of a form says, and never at one URL', async () => {
    await mkdir(join(folder, 'out/in'), { recursive: true })
    for (const name of ['out/a', 'out/in/b']) await writeFile(join(folder, name), name)
    const bodies: string[] = []
    answer = (request, response) => {
      void bodyOf(request).then((body) => {
        bodies.push(body.toString())
        response.writeHead(204).end()
      })
    }
    const output = { path: 'out', url: base, fields: { key: 'k/${filename}' } }
    await files.upload([output], folder, LIMITS)
    const keys = bodies.map((body) => /name="key"\r\n\r\n(.*)\r\n/.exec(body)?.[1])
    expect(keys.toSorted()).toEqual(['k/a', 'k/in/b'])
    await expect(files.upload([{ path: 'out', url: base }], folder, LIMITS)).rejects.toMatchObject({
      reason: 'bad_url',
      path: 'out',
    })
  })

  it('goes to a server that knows no Expect, and to where another points', async () => {
    await writeFile(join(folder, 'big'), content)
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      requests.push(request)
      if (request.url === '/k') response.writeHead(307, { Location: '/moved' }).end()
      else response.writeHead(417).end()
    })
    const got: Buffer[] = []
    answer = (request, response) => {
      void bodyOf(request).then((body) => {
        got.push(body)
        response.end()
      })
    }
    await files.upload([{ path: 'big', url: `${base}/k` }], folder, LIMITS)
    expect(got).toHaveLength(1)
    expect(got[0]?.equals(content)).toBe(true)
    expect(requests.map(({ url }) => url)).toEqual(['/k', '/moved', '/moved'])
  })

  it('sends a folder to a folder of this machine, and follows no link', async () => {
    const root = join(folder, 'root')
    await mkdir(join(folder, 'job/out/deep'), { recursive: true })
    await mkdir(root)
    await writeFile(join(folder, 'secret'), 'secret')
    await writeFile(join(folder, 'job/out/deep/a b.txt'), 'one')
    await writeFile(join(folder, 'job/out/z'), '')
    await symlink('../../secret', join(folder, 'job/out/link'))
    await symlink('..', join(folder, 'job/out/up'))
    const skipped: Skipped[] = []
    const own = open(1000, root)
    const url = `file://${root}/far`
    const sent = await own.upload([{ path: 'out/', url }], join(folder, 'job'), {
      ...LIMITS,
      onSkip: (each) => skipped.push(each),
    })
    expect(sent.map(({ path, url: to }) => [path, to.slice(url.length)])).toEqual([
      ['out/deep/a b.txt', '/deep/a%20b.txt'],
      ['out/z', '/z'],
    ])
    expect(await readFile(join(root, 'far/deep/a b.txt'), 'utf8')).toBe('one')
    expect(skipped).toEqual([
      { path: 'out/link', why: 'a symbolic link' },
      { path: 'out/up', why: 'a symbolic link' },
    ])
    for (const path of ['out/link', 'out/up/out/z']) {
      await expect(own.upload([{ path, url }], join(folder, 'job'), LIMITS)).rejects.toMatchObject({
        reason: 'not_regular',
      })
    }
    await expect(own.upload([{ path: 'none', url }], join(folder, 'job'), LIMITS)).rejects.toMatchObject({
      reason: 'missing_output',
    })
    await symlink(folder, join(root, 'outside'))
    for (const bad of [
      `file://${root}/outside/secret`,
      `file://${root}/../secret`,
      `file://${folder}/secret`,
    ]) {
      await expect(own.readBytes(bad, LIMITS)).rejects.toMatchObject({ reason: 'denied' })
      await expect(own.writeBytes(bad, Buffer.from('x'), LIMITS)).rejects.toMatchObject({ reason: 'denied' })
    }
    expect(await readFile(join(folder, 'secret'), 'utf8')).toBe('secret')
    await expect(open(1000).readBytes(url, LIMITS)).rejects.toThrow('files_root')
  })
})
