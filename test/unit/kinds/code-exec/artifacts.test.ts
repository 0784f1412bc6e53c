import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { JobError, RetryableError } from '../../../../src/core/errors.ts'
import type { Workdir } from '../../../../src/executors/executor.ts'
import { collectArtifacts, type Collected } from '../../../../src/kinds/code-exec/artifacts.ts'
import { readTar, TarError } from '../../../../src/kinds/code-exec/read-tar.ts'

const run = promisify(execFile)
const signal = new AbortController().signal

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'artifacts-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

async function archiveOf(...flags: string[]): Promise<Buffer> {
  const options = { encoding: 'buffer', maxBuffer: 64 * 1024 ** 2 } as const
  const { stdout } = await run('tar', ['-C', folder, ...flags, '-cf', '-', '.'], options)
  return stdout
}

async function* inParts(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve()
    yield bytes.subarray(at, at + size)
  }
}

async function list(bytes: Buffer, size = 10_000, most = Infinity): Promise<unknown[]> {
  const found: unknown[] = []
  for await (const { path, type, size: length, body } of readTar(inParts(bytes, size), most)) {
    const hash = createHash('md5')
    for await (const part of body) hash.update(part)
    found.push([path, type, length, hash.digest('hex')])
  }
  return found.sort()
}

/** A header as a hostile maker writes it. */
function header(name: string, size: string | Buffer, type = '0'): Buffer {
  const block = Buffer.alloc(512)
  block.write(name, 0)
  block.write('0000644\0', 100)
  block.set(typeof size === 'string' ? Buffer.from(size) : size, 124)
  block.write('        ', 148)
  block.write(type, 156)
  block.write('ustar\x0000', 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

const END = Buffer.alloc(1024)

describe('an archive', () => {
  test.each(['gnu', 'ustar', 'posix'])('of tar is read as it is (%s)', async (format) => {
    await mkdir(join(folder, 'out/deep'), { recursive: true })
    await writeFile(join(folder, 'out/é.bin'), Buffer.alloc(70_000, 7))
    await writeFile(join(folder, 'empty'), '')
    await writeFile(join(folder, 'out/deep', 'n'.repeat(format === 'ustar' ? 90 : 200)), 'long')
    await symlink('/etc/passwd', join(folder, 'link'))
    await run('mkfifo', [join(folder, 'pipe')])
    const archive = await archiveOf(`--format=${format}`)
    const found = await list(archive)
    const names = found.map((each) => (each as unknown[]).slice(0, 3))
    expect(names).toEqual([
      ['./', 'folder', 0],
      ['./empty', 'file', 0],
      ['./link', 'link', 0],
      ['./out/', 'folder', 0],
      ['./out/deep/', 'folder', 0],
      [`./out/deep/${'n'.repeat(format === 'ustar' ? 90 : 200)}`, 'file', 4],
      ['./out/é.bin', 'file', 70_000],
      ['./pipe', 'device', 0],
    ])
    // However it is cut.
    for (const size of [1, 511, 513, 1 << 20]) expect(await list(archive, size)).toEqual(found)
  })

  test('of which nobody wants the contents is passed over', async () => {
    await writeFile(join(folder, 'a'), 'x'.repeat(5000))
    await writeFile(join(folder, 'b'), 'y')
    const names: string[] = []
    for await (const { path, body } of readTar(inParts(await archiveOf(), 700), Infinity)) {
      names.push(path)
      // One part of it is read, the rest is not.
      for await (const part of body) {
        expect(part.length).toBeGreaterThan(0)
        break
      }
    }
    expect(names.sort()).toEqual(['./', './a', './b'])
  })

  test.each<[string, Buffer]>([
    ['no archive', Buffer.from('hello')],
    ['no archive of a block', Buffer.alloc(512, 'x')],
    ['one that ends in a header', header('a', '00000000004\0').subarray(0, 300)],
    ['one that ends in a file', Buffer.concat([header('a', '00000001000\0'), Buffer.alloc(300)])],
    ['a size beyond all', Buffer.concat([header('a', Buffer.alloc(12, 0xff)), END])],
    ['a size that is none', Buffer.concat([header('a', 'hello\0')])],
    [
      'attributes without end',
      Buffer.concat([header('a', '77777777777\0', 'x'), Buffer.alloc(100_000, 'x')]),
    ],
    ['attributes that are none', Buffer.concat([header('a', '00000000005\0', 'x'), Buffer.alloc(512, 'x')])],
    [
      'attributes of length 0',
      Buffer.concat([header('a', '00000000005\0', 'x'), Buffer.alloc(512, '0 a=b')]),
    ],
  ])('that is %s is refused', async (_, bytes) => {
    await expect(list(bytes)).rejects.toBeInstanceOf(TarError)
  })

  test('is read no further than its bound', async () => {
    const bytes = Buffer.concat([header('a', '00000100000\0'), Buffer.alloc(32_768), END])
    await expect(list(bytes, 512, 4096)).rejects.toThrow(/beyond all/)
    expect(await list(bytes, 512, bytes.length)).toHaveLength(1)
  })

  test('without its end, and one of nothing, are whole', async () => {
    expect(await list(Buffer.concat([header('a', '00000000000\0')]))).toHaveLength(1)
    expect(await list(Buffer.alloc(0))).toEqual([])
  })
})

describe('artifacts', () => {
  function workdir(archive: () => AsyncIterable<Uint8Array>): Workdir {
    return {
      spec: { path: '/work', bytes: 1024 ** 2, inodes: 100, uid: 65534 },
      id: 'w',
      archive,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
  }

  async function collect(
    patterns: string[],
    { room = 100_000, given = [] as string[], archive = undefined as Buffer | undefined } = {},
  ): Promise<Collected> {
    const bytes = archive ?? (await archiveOf())
    return await collectArtifacts(
      workdir(() => inParts(bytes, 3000)),
      'i',
      { patterns, given, room },
      signal,
    )
  }

  function shown({ artifacts, skipped, isLacking }: Collected): unknown {
    return {
      has: artifacts.map(({ path, content }) => [path, Buffer.from(content).toString()]).sort(),
      skipped: skipped.map(({ path, reason }) => `${path}: ${reason}`).sort(),
      isLacking,
    }
  }

  test('are the regular files that are wanted', async () => {
    await mkdir(join(folder, 'out/deep'), { recursive: true })
    await writeFile(join(folder, 'out/deep/a.csv'), '1,2')
    await writeFile(join(folder, 'b.csv'), 'b')
    await writeFile(join(folder, 'other'), 'c')
    await symlink('b.csv', join(folder, 'out/link'))
    await run('mkfifo', [join(folder, 'out/pipe')])
    const found = await collect(['out/**', '*.csv'])
    expect(shown(found)).toEqual({
      has: [
        ['b.csv', 'b'],
        ['out/deep/a.csv', '1,2'],
      ],
      skipped: [
        'out/link: it is no regular file but a link',
        'out/pipe: it is no regular file but a device or pipe',
      ],
      isLacking: false,
    })
    expect(found.artifacts[0]?.sha256).toMatch(/^[0-9a-f]{64}$/)
    const { artifacts } = await collect(['b.csv'])
    expect(artifacts[0]?.sha256).toBe(createHash('sha256').update('b').digest('hex'))
  })

  test('that are named must be there, and be files', async () => {
    await mkdir(join(folder, 'out'))
    await writeFile(join(folder, 'big'), 'x'.repeat(101))
    await symlink('big', join(folder, 'link'))
    expect(shown(await collect(['out', 'missing', 'link', 'big'], { room: 100 }))).toEqual({
      has: [],
      skipped: [
        'big: it has 101 bytes, and there is room for 100',
        'link: it is no regular file but a link',
        'missing: it is not there',
        'out: it is no regular file but a folder',
      ],
      isLacking: true,
    })
    expect(await collect(['big'], { room: 101 })).toMatchObject({ isLacking: false })
    expect(await collect(['*.none'])).toMatchObject({ artifacts: [], skipped: [], isLacking: false })
  })

  test('that are named go before those that only fit', async () => {
    await writeFile(join(folder, 'a'), 'x'.repeat(60))
    await writeFile(join(folder, 'b'), 'x'.repeat(40))
    await writeFile(join(folder, 'z'), 'z'.repeat(50))
    const found = await collect(['*', 'z'], { room: 100, archive: await archiveOf('--sort=name') })
    expect(found.isLacking).toBe(false)
    expect(found.artifacts.map(({ path }) => path)).toContain('z')
    expect(found.artifacts.reduce((sum, { content }) => sum + content.length, 0)).toBeLessThanOrEqual(100)
  })

  test('of other names of one file are no files', async () => {
    await writeFile(join(folder, 'a'), 'x')
    await link(join(folder, 'a'), join(folder, 'b'))
    const { artifacts, skipped } = await collect(['*'])
    expect(artifacts).toHaveLength(1)
    expect(skipped).toHaveLength(1)
  })

  test('are no files that were given', async () => {
    await writeFile(join(folder, 'main.c'), '')
    await writeFile(join(folder, 'out'), 'o')
    expect(shown(await collect(['*'], { given: ['main.c'] }))).toMatchObject({ has: [['out', 'o']] })
  })

  test('of a hostile archive do no harm', async () => {
    const archive = Buffer.concat([
      header('../../etc/passwd', '00000000000\0'),
      header('/etc/passwd', '00000000000\0'),
      header('a/../b', '00000000000\0'),
      header('x\x1b[31m', '00000000000\0'),
      header('twice', '00000000000\0'),
      header('twice', '00000000000\0'),
      END,
    ])
    const found = await collect(['**', '*', '**/*'], { archive })
    expect(found.artifacts.map(({ path }) => path)).toEqual(['x\x1b[31m', 'twice'])
    expect(found.skipped.map(({ path }) => path)).toEqual([
      '../../etc/passwd',
      '/etc/passwd',
      'a/../b',
      'twice',
    ])
    const many = Buffer.concat(
      Array.from({ length: 200 }, (_, n) => header(`f${String(n)}`, '00000000000\0')),
    )
    const most = await collect(['*'], { archive: many })
    expect([most.artifacts.length, most.skipped.length]).toEqual([64, 64])
  })

  test('of a folder that can not be read are missing, and a stop is no such thing', async () => {
    await writeFile(join(folder, 'a'), 'x'.repeat(5000))
    const whole = await archiveOf('--sort=name')
    const cut = whole.subarray(0, 512 + 512 + 100)
    expect(shown(await collect(['a'], { archive: cut }))).toMatchObject({
      has: [],
      skipped: ['a: the working folder could not be read to its end: it ends in the middle of an entry'],
      isLacking: true,
    })
    const failing = (error: Error): Workdir =>
      workdir(() => ({
        [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }),
      }))
    const wanted = { patterns: ['a', 'b*'], given: [], room: 1 }
    const broken = await collectArtifacts(
      failing(new JobError('no_result', 'there is no tar')),
      'i',
      wanted,
      signal,
    )
    expect(broken).toMatchObject({ isLacking: true, skipped: [{ path: 'a' }, { path: 'b*' }] })
    const engine = new RetryableError('engine', 'gone')
    await expect(collectArtifacts(failing(engine), 'i', wanted, signal)).rejects.toBe(engine)
    const stopped = AbortSignal.abort(engine)
    await expect(
      collectArtifacts(failing(new JobError('no_result', 'x')), 'i', wanted, stopped),
    ).rejects.toBe(engine)
  })
})
