import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { JobError } from '../../../src/core/errors.ts'
import { createLogger } from '../../../src/core/log.ts'
import { findLeftovers, removeLeftover } from '../../../src/executors/docker/leftovers.ts'
import type { Workdir } from '../../../src/executors/executor.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildShellImage, hasPython } from '../../support/images.ts'
import { BUSYBOX, busyboxImage, tarImage } from './images.ts'
import { buildWalled, FOLDER, MIB, NOBODY, type Walled } from './walled.ts'

const engine = await requireEngine()
const canRun = engine !== undefined && process.platform === 'linux' && (await hasPython())
const never = new AbortController().signal

describe.skipIf(!canRun)('a working folder that outlives its tasks', () => {
  let walled: Walled
  let withTar: string

  beforeAll(async () => {
    if (engine === undefined) return
    walled = await buildWalled(engine)
    withTar = await tarImage(engine)
  })
  afterAll(() => walled.executor.close())

  const open = (changes: Partial<Workdir['spec']> = {}): Promise<Workdir> =>
    walled.executor.openWorkdir({ ...FOLDER, bytes: 32 * MIB, inodes: 200, ...changes }, never)

  it('has what the task before has left', async () => {
    await using folder = await open()
    await walled.run('open("left", "w").write("here"); import os; os.chmod("left", 0o400)', { folder })
    await delay(300)
    const { stdout } = await walled.run('print(open("left").read())', { folder })
    expect(stdout).toBe('here\n')
  })

  it('is bounded and its owner’s alone', async () => {
    await using folder = await open({ bytes: MIB, inodes: 10, uid: 1234 })
    const look =
      'import json, os; s = os.stat("/work"); print(json.dumps([oct(s.st_mode), s.st_uid, s.st_gid]))'
    expect(await walled.ask(look, { folder, limits: { user: '1234' } })).toEqual(['0o40700', 1234, 1234])
    const { stderr } = await walled.run('open("/work/x", "w")', { folder })
    expect(stderr).toContain('Permission denied')
    const full = await walled.run('open("big", "wb").write(bytes(2 << 20))', {
      folder,
      limits: { user: '1234' },
    })
    expect(full.stderr).toContain('No space left on device')
  })

  it('goes with its keeper and its volume', async () => {
    const folder = await open()
    await walled.run('open("x", "w")', { folder })
    expect(await volumes()).toContain(folder.id)
    await folder[Symbol.asyncDispose]()
    await expect.poll(volumes, { timeout: 20_000 }).not.toContain(folder.id)
    await expect.poll(() => containersWith(folder.id), { timeout: 20_000 }).toEqual([])
  })

  it('is removed after the last task though it was let go before', async () => {
    const folder = await open()
    await using task = await walled.start('import time; time.sleep(2)', { folder })
    await folder[Symbol.asyncDispose]()
    await delay(200)
    expect(await task.isRunning()).toBe(true)
    await task[Symbol.asyncDispose]()
    await expect
      .poll(
        async () => {
          await walled.executor.reap(never)
          return await volumes()
        },
        { timeout: 20_000 },
      )
      .not.toContain(folder.id)
  })

  describe.each(['GNU tar', ...(BUSYBOX === undefined ? [] : ['busybox'])])(
    'is read as an archive, by %s',
    (which) => {
      let image: string
      beforeAll(async () => {
        if (engine !== undefined) image = which === 'busybox' ? await busyboxImage(engine) : withTar
      })

      it('with links as links, and pipes unopened', async () => {
        await using folder = await open()
        await walled.run(
          `
import os, socket
os.makedirs('a/b')
open('a/b/text', 'w').write('hello')
os.symlink('/etc/passwd', 'link')
os.link('a/b/text', 'hard')
os.mkfifo('pipe')
open('secret', 'w').write('x'); os.chmod('secret', 0)
socket.socket(socket.AF_UNIX).bind('socket')
open(b'\\xff\\n name', 'w').write('odd')
open('-' + 'n' * 200, 'w').write('long')
`,
          { folder },
        )
        const entries = await entriesOf(folder.archive(image, never))
        const byName = new Map(entries.map(({ name, ...rest }) => [name, rest]))
        const both = ['./a/b/text', './hard'].map((name) => byName.get(name))
        expect(both).toEqual(
          expect.arrayContaining([
            { type: '0', size: 5 },
            { type: '1', size: 0 },
          ]),
        )
        expect(byName.get('./link')).toMatchObject({ type: '2', size: 0 })
        expect(byName.get('./pipe')).toMatchObject({ type: '6', size: 0 })
        expect(
          byName.get(`./-${'n'.repeat(200)}`)?.size ?? byName.get('././@LongLink')?.size,
        ).toBeGreaterThan(3)
      })

      it('as it is read: a large file, and a reader who takes his time', async () => {
        await using folder = await open()
        await walled.run(
          'import os\nwith open("big", "wb") as f:\n for n in range(16): f.write(os.urandom(1 << 20))',
          {
            folder,
          },
        )
        let bytes = 0
        let most = 0
        for await (const part of folder.archive(image, never)) {
          if (bytes === 0) {
            const before = process.memoryUsage().rss
            await delay(500)
            most = process.memoryUsage().rss - before
          }
          bytes += part.length
        }
        expect(bytes).toBeGreaterThan(16 * MIB)
        expect(most).toBeLessThan(8 * MIB)
      })

      it('and left alone when nobody reads on', async () => {
        await using folder = await open()
        await walled.run('open("big", "wb").write(bytes(8 << 20))', { folder })
        for await (const part of folder.archive(image, never)) {
          expect(part.length).toBeGreaterThan(0)
          break
        }
        expect(
          (await containersWith(folder.id)).filter(({ Names: [name] }) => name?.startsWith('/archive')),
        ).toEqual([])
      })
    },
  )

  it('is no archive when files with holes are larger than it', async () => {
    await using folder = await open()
    await walled.run('for n in range(100): open(str(n), "wb").truncate(16 << 20)', { folder })
    await expect(entriesOf(folder.archive(withTar, never))).rejects.toThrow(/larger than the folder/)
  })

  it('is no archive without tar, which is the fault of the job', async () => {
    if (engine === undefined) return
    await using folder = await open()
    const image = await buildShellImage(engine, 'opthub-runner-test/no-tar:1', 'true')
    const failure = await entriesOf(folder.archive(image, never)).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(JobError)
    expect(failure).toMatchObject({ message: expect.stringContaining('has no tar') as unknown })
  })

  it('is read by whoever may change nothing, whatever the image brings along', async () => {
    if (engine === undefined) return
    await using folder = await open()
    await walled.run('open("x", "w").write("1")', { folder })
    // A program of the image's author that is called tar.
    const image = await tarImage(
      engine,
      'echo $(id -u); echo 2 > /work/x; rm /work/x; echo bad > /tmp/y; ls /proc/self/root/; cat /proc/net/dev',
    )
    const failure = entriesOf(folder.archive(image, never))
    await expect(failure).rejects.toBeInstanceOf(JobError)
    expect((await walled.run('print(open("x").read())', { folder })).stdout).toBe('1\n')
  })

  it('is read by the runtime of its tasks', async () => {
    await using folder = await open()
    await walled.run('open("x", "w")', { folder, limits: { runtime: 'runc' } })
    const reading = folder.archive(withTar, never)[Symbol.asyncIterator]()
    await reading.next()
    const [reader] = (await containersWith(folder.id)).filter(({ Names: [name] }) =>
      name?.startsWith('/archive'),
    )
    const inspected = await engine?.json('GET', `/containers/${reader?.Id ?? ''}/json`)
    expect(inspected).toMatchObject({
      HostConfig: {
        Runtime: 'runc',
        CapDrop: ['ALL'],
        NetworkMode: 'none',
        ReadonlyRootfs: true,
        Init: true,
      },
      Mounts: expect.arrayContaining([expect.objectContaining({ Name: folder.id, RW: false })]) as unknown,
    })
    await reading.return?.(undefined)
  })

  it('can be found and removed by hand', async () => {
    if (engine === undefined) return
    const folder = await open()
    const leftovers = (options: { all: boolean }): ReturnType<typeof findLeftovers> =>
      findLeftovers(engine, {
        ...{ dataDir: '/nowhere', clock: systemClock, log: createLogger(() => undefined), signal: never },
        ...options,
      })
    expect((await leftovers({ all: false })).map(({ id }) => id)).not.toContain(folder.id)
    const [keeper, volume] = (await leftovers({ all: true })).filter(({ name }) => name === folder.id)
    expect([keeper?.what, volume?.what]).toEqual(['container', 'volume'])
    if (keeper === undefined || volume === undefined) return
    expect(await removeLeftover(volume)).toBe('something needs it by now')
    expect(await removeLeftover(keeper)).toBe(true)
    expect(await removeLeftover(volume)).toBe(true)
    expect(await volumes()).not.toContain(folder.id)
    await folder[Symbol.asyncDispose]()
  })

  it('stops an archive at once when told so', async () => {
    if (engine === undefined) return
    await using folder = await open()
    const image = await tarImage(engine, 'while true; do :; done')
    await expect(entriesOf(folder.archive(image, AbortSignal.timeout(1000)))).rejects.toThrow('timeout')
  })

  async function volumes(): Promise<string[]> {
    const answer = (await engine?.json('GET', '/volumes')) as { Volumes: { Name: string }[] | null }
    return (answer.Volumes ?? []).map(({ Name }) => Name)
  }
  async function containersWith(volume: string): Promise<{ Id: string; Names: string[] }[]> {
    const query = { all: '1', filters: JSON.stringify({ volume: [volume] }) }
    return (await engine?.json('GET', '/containers/json', { query })) as { Id: string; Names: string[] }[]
  }
})

interface Entry {
  name: string
  type: string
  size: number
}

/** The headers of an archive. */
async function entriesOf(archive: AsyncIterable<Uint8Array>): Promise<Entry[]> {
  const parts: Uint8Array[] = []
  for await (const part of archive) parts.push(part)
  const bytes = Buffer.concat(parts)
  const entries: Entry[] = []
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0;) {
    const field = (from: number, length: number): string =>
      bytes.toString('latin1', at + from, at + from + length).replace(/\0.*$/s, '')
    const size = Number.parseInt(field(124, 12), 8)
    const uid = Number.parseInt(field(108, 8), 8)
    if (uid !== NOBODY && uid !== 0) throw new Error(`It belongs to ${uid}`)
    entries.push({ name: field(0, 100), type: field(156, 1), size })
    at += 512 + Math.ceil(size / 512) * 512
  }
  return entries
}
