import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { JobError } from '../../../src/core/errors.ts'
import { ImageError } from '../../../src/executors/executor.ts'
import {
  createImageRunner,
  type ImageCall,
  type ImageResult,
  type ImageRunner,
} from '../../../src/image-runner.ts'
import { compileChild } from '../../support/compile-child.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildShellImage } from '../../support/images.ts'
import { growth, MIB } from '../executor/harness.ts'

const engine = await requireEngine()
const IMAGE = `opthub-runner-test/call-${crypto.randomUUID()}:1`
const host = engine?.label ?? ''

describe.skipIf(engine === undefined)('calling an image', () => {
  let runner: ImageRunner
  let folder: string

  beforeAll(async () => {
    if (engine === undefined) return
    await buildShellImage(engine, IMAGE, 'cat')
    runner = createImageRunner({ host, environment: {} })
    folder = await mkdtemp(join(tmpdir(), 'opthub-call-'))
  })
  afterAll(async () => {
    await runner.close()
    await engine?.json('DELETE', `/images/${encodeURIComponent(IMAGE)}`, { query: { force: '1' } })
    engine?.close()
    await rm(folder, { recursive: true, force: true })
  })

  const call = (rest: Partial<ImageCall> = {}): Promise<ImageResult> => runner.run({ image: IMAGE, ...rest })
  const shell = (script: string, rest: Partial<ImageCall> = {}): Promise<ImageResult> =>
    call({ args: ['/bin/sh', '-c', script], ...rest })

  /** Containers of this image that exist now, in any state. */
  async function containers(): Promise<{ Id: string; Labels: Record<string, string> }[]> {
    const query = { all: '1', filters: JSON.stringify({ ancestor: [IMAGE] }) }
    return (await engine?.json('GET', '/containers/json', { query })) as never
  }
  async function failure(calling: Promise<unknown>): Promise<unknown> {
    return await calling.then(
      () => {
        throw new Error('it did not fail')
      },
      (error: unknown) => error,
    )
  }

  it('puts input in and gets output, errors and exit code out, byte by byte', async () => {
    const input = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const echo = await call({ input })
    expect(echo).toMatchObject({ verdict: 'exited', exitCode: 0 })
    expect(echo.stdout.equals(input)).toBe(true)
    const both = await shell('cat; echo oh >&2; exit 42', { input: 'in' })
    expect(both).toEqual({
      verdict: 'exited',
      exitCode: 42,
      stdout: Buffer.from('in'),
      stderr: Buffer.from('oh\n'),
    })
    expect(await containers()).toEqual([])
  })

  it('passes arguments as they are, never through a shell', async () => {
    const args = ['/bin/printf', '[%s]', 'a b', '$(id)', '"', "'", '', '*', '-n', 'é\n']
    expect((await call({ args })).stdout.toString()).toBe(`[a b][$(id)]["]['][][*][-n][é\n]`)
  })

  it('sets environment, working folder, user and limits', async () => {
    const { stdout } = await shell('echo "$A|$(pwd)|$(id -u):$(id -g)|$(nproc)"; df /t | wc -l; touch /x', {
      env: { A: '1 2' },
      workdir: '/bin',
      user: '12:34',
      limits: { readOnly: true, tmpfs: { '/t': 'size=64k' }, network: 'none', memoryBytes: 64 * MIB },
    })
    expect(stdout.toString()).toMatch(/^1 2\|\/bin\|12:34\|\d+\n2\n$/)
  })

  it('reads a stream as the program asks for it, and lets the program end without reading it', async () => {
    async function* parts() {
      for (let n = 0; n < 3; n += 1) {
        await delay(5)
        yield `${n}\n`
      }
    }
    expect((await call({ input: parts() })).stdout.toString()).toBe('0\n1\n2\n')
    let asked = 0
    const endless = new Readable({
      read() {
        asked += 1
        this.push(Buffer.alloc(65_536))
      },
    })
    expect((await shell('head -c 3 | wc -c', { input: endless })).stdout.toString()).toBe('3\n')
    expect(asked).toBeLessThan(1000)
    const silent = new Readable({ read: () => undefined })
    expect((await shell('echo done', { input: silent })).stdout.toString()).toBe('done\n')
    expect(await containers()).toEqual([])
  })

  it('streams output as fast as it is taken, in constant memory', async () => {
    let bytes = 0
    const grown = await growth(async () => {
      const result = await shell('head -c 268435456 /dev/zero; echo end >&2', {
        onStdout: async (data) => {
          bytes += data.length
          if (bytes < MIB) await delay(10)
        },
      })
      expect(result.stdout.length).toBe(0)
      expect(result.stderr.toString()).toBe('end\n')
    })
    expect(bytes).toBe(256 * MIB)
    expect(grown).toBeLessThan(100 * MIB)
  })

  it('ends with one clear error when there is more output than is kept', async () => {
    const just = await shell('head -c 1000 /dev/zero', { maxOutputBytes: 1000 })
    expect(just.stdout.length).toBe(1000)
    const error = await failure(shell('yes', { maxOutputBytes: 1000 }))
    if (!(error instanceof JobError)) throw error
    expect(error).toMatchObject({
      code: 'output_too_large',
      message: 'The image has printed more than 1000 bytes on standard output',
    })
    expect(error.detail).toContain('maxOutputBytes')
    expect(await containers()).toEqual([])
  })

  it('tells what ended the program: its time, want of memory, or somebody else', async () => {
    const late = await shell('echo begun; sleep 100', { timeoutMs: 500, stopGraceSeconds: 0 })
    expect(late).toMatchObject({ verdict: 'timeout', stdout: Buffer.from('begun\n') })
    const hungry = await shell('x=a; while true; do x="$x$x"; done', { limits: { memoryBytes: 16 * MIB } })
    expect(hungry).toMatchObject({ verdict: 'out_of_memory', exitCode: 137 })
    const running = shell('echo begun; sleep 100')
    await expect.poll(async () => (await containers()).length).toBe(1)
    const [container] = await containers()
    await delay(500)
    await engine?.json('POST', `/containers/${container?.Id ?? ''}/kill`)
    expect(await running).toMatchObject({ verdict: 'killed', exitCode: 137 })
    expect(await shell('exit 137')).toMatchObject({ verdict: 'exited', exitCode: 137 })
    expect(await containers()).toEqual([])
  })

  it('kills a program that nobody listens to, when its time is over', async () => {
    const deaf = new Promise<void>(() => undefined)
    const result = await shell('yes', { onStdout: () => deaf, timeoutMs: 500, stopGraceSeconds: 0 })
    expect(result.verdict).toBe('timeout')
    expect(await containers()).toEqual([])
  })

  it('rejects with the reason of its signal, before and while it runs', async () => {
    const reason = new Error('enough')
    expect(await failure(call({ signal: AbortSignal.abort(reason) }))).toBe(reason)
    const stop = new AbortController()
    const onStdout = () => {
      stop.abort(reason)
    }
    expect(await failure(shell('echo; sleep 100', { signal: stop.signal, onStdout }))).toBe(reason)
    expect(await containers()).toEqual([])
  })

  it('rejects with what a listener or the input throws', async () => {
    const reason = new Error('no')
    const onStdout = () => {
      throw reason
    }
    expect(await failure(shell('echo; sleep 100', { onStdout }))).toBe(reason)
    expect(
      await failure(shell('echo; sleep 100', { onStderr: onStdout, onStdout: () => Promise.reject(reason) })),
    ).toBe(reason)
    const broken = new Readable({
      read() {
        this.destroy(reason)
      },
    })
    expect(await failure(shell('cat; sleep 100', { input: broken }))).toBe(reason)
    expect(await containers()).toEqual([])
  })

  it.each<[string, Partial<ImageCall>, ImageError['reason']]>([
    ['an image that is not there', { image: 'opthub-runner-test/nonesuch:1', pull: 'never' }, 'not_found'],
    ['a name that is none', { image: 'No Such Image' }, 'invalid_reference'],
    ['a program that is not there', { args: ['/nonesuch'] }, 'not_startable'],
  ])('rejects with an ImageError for %s', async (_, rest, reason) => {
    const error = await failure(call(rest))
    expect(error).toBeInstanceOf(ImageError)
    expect(error).toMatchObject({ reason })
    expect(await containers()).toEqual([])
  })

  it('mounts files and folders, read-only too', async () => {
    await writeFile(join(folder, 'in'), 'abc')
    const source = join(folder, 'in')
    const result = await shell(
      'cat /data/in; echo more > /data/out; echo x > /in 2>/dev/null || echo refused',
      {
        mounts: [
          { source: folder, target: '/data' },
          { source, target: '/in', readOnly: true },
        ],
      },
    )
    expect(result.stdout.toString()).toBe('abcrefused\n')
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe('more\n')
    const { uid, gid } = await stat(join(folder, 'out'))
    expect([uid, gid]).toEqual([process.getuid?.(), process.getgid?.()])
  })

  it('serves many calls at once', async () => {
    const results = await Promise.all(Array.from({ length: 12 }, (_, n) => call({ input: `${n}` })))
    expect(results.map(({ stdout }) => stdout.toString())).toEqual(results.map((_, n) => `${n}`))
    expect(await containers()).toEqual([])
  })

  it('finds the engine anew after a failure', async () => {
    const environment: Record<string, string> = { DOCKER_HOST: 'unix:///nowhere/s' }
    const late = createImageRunner({ environment })
    expect(await failure(late.run({ image: IMAGE }))).toMatchObject({ exitCode: 69 })
    environment['DOCKER_HOST'] = host
    expect((await late.run({ image: IMAGE, input: 'x' })).stdout.toString()).toBe('x')
    await late.close()
    expect((await late.run({ image: IMAGE, input: 'y' })).stdout.toString()).toBe('y')
    await late.close()
  })

  describe('in a process of its own', () => {
    const FOLDERS = ['core', 'executors', 'config', '.']
    let child: ReturnType<typeof compileChild>

    beforeAll(() => {
      child = compileChild(join(import.meta.dirname, 'call-child.ts'), FOLDERS)
    })

    afterAll(() => {
      child.remove()
    })

    const environment = (rest: Record<string, string> = {}) => ({
      ...process.env,
      DOCKER_HOST: host,
      IMAGE,
      ...rest,
    })

    it('ends by itself, without any close', async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [child.script], { env: environment() })
      expect(stdout).toBe('in\n')
    })

    it.skipIf(process.getuid?.() !== 0)('leaves files to the user that called, who is not root', async () => {
      const theirs = await mkdtemp(join(tmpdir(), 'opthub-theirs-'))
      try {
        await chown(theirs, 1234, 5678)
        const running = spawn(process.execPath, [child.script], {
          env: environment({ FOLDER: theirs, SETUID: '1234:5678' }),
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        expect(await once(running, 'close')).toEqual([0, null])
        const { uid, gid } = await stat(join(theirs, 'made'))
        expect([uid, gid]).toEqual([1234, 5678])
      } finally {
        await rm(theirs, { recursive: true })
      }
    })
  })
})
