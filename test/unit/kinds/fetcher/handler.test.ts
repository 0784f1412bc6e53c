import { mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LeaseLostError, NotYetError, RetryableError, StoppedError } from '../../../../src/core/errors.ts'
import type { JobContext } from '../../../../src/core/kind.ts'
import { createLogger } from '../../../../src/core/log.ts'
import { processJob } from '../../../../src/core/processor.ts'
import { Timeline } from '../../../../src/core/timeline.ts'
import { FileError, type Files, type OutputFile } from '../../../../src/files/files.ts'
import { createFetcher } from '../../../../src/kinds/fetcher/handler.ts'
import { parseFetcherMessage } from '../../../../src/kinds/fetcher/job-specs.ts'
import type { OpenJob } from '../../../../src/kinds/fetcher/services.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { ScriptedExecutor, type Script } from '../../../support/scripted-executor.ts'

const PLACE = { offer: { cpuCores: 2, memoryMib: 512 }, gpus: ['GPU-1'] }

let base = ''
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'opthub-runner-fetcher-'))
})
afterEach(async () => {
  await rm(base, { recursive: true, force: true })
})

/** One job in a world of its own. */
class World {
  readonly clock = new ManualClock()
  readonly executor: ScriptedExecutor
  readonly told: string[] = []
  readonly sent: string[] = []
  readonly abort = new AbortController()
  hasLeft = false
  downloadError: Error | undefined
  uploadError: Error | undefined
  onUpload: () => void = () => undefined
  assertHeld: () => void = () => undefined
  readonly open: OpenJob = {
    place: PLACE,
    leave: () => {
      this.hasLeft = true
    },
    session: {
      why: '',
      enter: (status) => this.tell(status),
      finish: (status, details) => this.tell(`${status}: ${details}`),
      downloadRequest: () => Promise.resolve({ url: 'http://x' }),
      uploadRequest: (type, folder) => Promise.resolve({ url: `http://${type}/${folder}` }),
    },
  }

  constructor(script: Script) {
    this.executor = new ScriptedExecutor({ image: script })
  }

  async tell(text: string): Promise<void> {
    await Promise.resolve()
    this.told.push(text)
  }

  async run(handler: Record<string, unknown> = {}, hardware: Record<string, unknown> = {}) {
    const files: Partial<Files> = {
      download: async (inputs, folder) => {
        if (this.downloadError !== undefined) throw this.downloadError
        for (const { path } of inputs) await writeFile(join(folder, path), path)
      },
      upload: async (outputs: readonly OutputFile[], folder) => {
        if (this.uploadError !== undefined) throw this.uploadError
        for (const { path, renew } of outputs) {
          const request = await renew?.(this.abort.signal)
          this.sent.push(`${request?.url ?? ''} ${(await stat(join(folder, path))).size}`)
        }
        this.onUpload()
        return []
      },
    }
    const fetcher = createFetcher({
      executor: this.executor,
      files: files as Files,
      jobOf: () => this.open,
      clock: this.clock,
      settings: {
        ...{ pathBase: base, timeoutSeconds: 100, stopGraceSeconds: 1, keep: false, limits: {} },
        user: { uid: 0, gid: 0 },
      },
    })
    const body = { id: '7', specs: { handler: { image_url: 'image', ...handler }, hardware } }
    const context: JobContext = {
      attempt: 1,
      signal: this.abort.signal,
      assertHeld: () => {
        this.assertHeld()
      },
      log: createLogger(() => undefined),
      timeline: new Timeline(this.clock),
    }
    return await processJob(fetcher, parseFetcherMessage(JSON.stringify(body)), context)
  }
}

async function write(
  spec: { mounts?: readonly { source: string }[] },
  path: string,
  text: string,
): Promise<void> {
  await writeFile(join(spec.mounts?.[0]?.source ?? '', path), text)
}

/** Lets time pass, as files are worked on, until the work has ended or it is so late. */
async function throughTime<T>(world: World, work: Promise<T>, until = Infinity): Promise<T | undefined> {
  const end = { isReached: false }
  const ended = work.finally(() => {
    end.isReached = true
  })
  ended.catch(() => undefined)
  while (!end.isReached && world.clock.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    await world.clock.advance(2000)
  }
  return end.isReached ? await ended : undefined
}

describe('a job with files', () => {
  it('runs in its folder with the share of its place', async () => {
    const world = new World(async (_input, _environment, spec) => {
      await write(spec, 'out/a', 'four')
      return {}
    })
    expect(await world.run({ files_down: { in: 'x' }, files_up: { output: 'out' } })).toBe('succeeded')
    expect(world.told).toEqual(['preprocessing', 'running', 'postprocessing', 'finished: '])
    expect(world.sent).toEqual(['http://output/out 4'])
    expect(world.executor.started[0]).toMatchObject({
      limits: { cpus: 2, memoryBytes: 512 * 1024 ** 2, shmBytes: 256 * 1024 ** 2 },
      gpus: ['GPU-1'],
      mounts: [{ source: join(base, '7'), target: '/files', readOnly: false }],
    })
    expect(await readdir(base)).toEqual([])
  })

  it('waits for an engine that is down, and for a GPU that is in use', async () => {
    const world = new World(() => ({}))
    world.executor.failure = new RetryableError('engine', 'down')
    const running = world.run()
    const start = world.clock.now()
    const changes = [
      [60_000, new NotYetError('no GPU is free', 30)],
      [600_000, undefined],
    ] as const
    for (const [after, failure] of changes) {
      await throughTime(world, running, start + after)
      world.executor.failure = failure
    }
    expect(await throughTime(world, running)).toBe('succeeded')
    expect(world.told.at(-1)).toBe('finished: ')
  })

  it('is given up when its surroundings do not mend', async () => {
    const world = new World(() => ({}))
    world.executor.failure = new RetryableError('engine', 'down for good')
    const running = world.run().catch((error: unknown) => error)
    expect(await throughTime(world, running)).toBeInstanceOf(RetryableError)
    expect(world.clock.now()).toBeGreaterThan(5 * 60_000)
    expect(world.open.session.why).toBe('The worker could not run the job: down for good')
    expect(world.hasLeft).toBe(false)
    expect(await readdir(base)).toEqual([])
  })

  it.each([
    [
      'memory',
      { exitCode: 137, oomKilled: true, stderr: 'last' },
      'error: Memory ran out (exit_code: 137)\nlast',
    ],
    ['itself', { exitCode: 3, stdout: 'ü'.repeat(1500) }, `error: exit_code: 3\n${'ü'.repeat(1000)}`],
    ['an exit code 0 after the loss of a child', { exitCode: 0, oomKilled: true }, 'finished: '],
  ])('ends by %s', async (_what, script, last) => {
    const world = new World(() => script)
    await world.run()
    expect(world.told.at(-1)).toBe(last)
  })

  it('says what it has not sent, and refuses a folder that has become a link', async () => {
    const linked = new World(async (_input, _environment, spec) => {
      await symlink('/etc/passwd', join(spec.mounts?.[0]?.source ?? '', 'out/link'))
      return {}
    })
    await linked.run({ files_up: { output: 'out' } })
    expect(linked.told.at(-1)).toBe('finished: Not sent: out/link (a symbolic link)')
    expect(linked.sent).toEqual([])
    const replaced = new World(async (_input, _environment, spec) => {
      const out = join(spec.mounts?.[0]?.source ?? '', 'out')
      await rm(out, { recursive: true })
      await symlink('/etc', out)
      return {}
    })
    expect(await replaced.run({ files_up: { output: 'out' } })).toBe('failed')
    expect(replaced.told.at(-1)).toMatch(/^error: An output can't be sent: "out" is a symbolic link/)
    const removed = new World(async (_input, _environment, spec) => {
      await rm(join(spec.mounts?.[0]?.source ?? '', 'out'), { recursive: true })
      return {}
    })
    await removed.run({ files_up: { output: 'out' } })
    expect(removed.told.at(-1)).toBe('finished: Not sent: out (it is not there)')
  })

  it('fails by its own fault when its files can not be had or sent', async () => {
    const world = new World(() => ({}))
    world.downloadError = new FileError('not_found', 'in', 'there is no in')
    expect(await world.run({ files_down: { in: 'x' } })).toBe('failed')
    expect(world.told.at(-1)).toBe("error: An input can't be had: there is no in")
    expect(world.executor.started).toEqual([])
    const other = new World(() => ({}))
    other.uploadError = new FileError('denied', 'out/a', 'no')
    expect(await other.run({ files_up: { output: 'out' } })).toBe('failed')
    expect(other.told.at(-1)).toBe("error: An output can't be sent: no")
  })

  it('is not run where it does not fit, nor by an image that is not there', async () => {
    const world = new World(() => ({}))
    expect(await world.run({}, { memory: 513 })).toBe('failed')
    expect(world.told).toEqual([
      'preprocessing',
      'error: The job needs more than this worker offers: 513 MiB of memory (there are 512)',
    ])
    const other = new World(() => ({}))
    expect(await other.run({ image_url: 'other' })).toBe('failed')
    expect(other.told.at(-1)).toBe('error: Image other does not exist')
  })

  it.each([
    ['lost', new LeaseLostError('deleted'), true, /deleted/],
    ['stopped', new StoppedError('SIGTERM'), false, /^The worker was stopped before the job ended: SIGTERM$/],
  ])('kills its container and sends nothing when it is %s', async (_how, reason, hasLeft, why) => {
    const world = new World(() => ({ neverEnds: true }))
    const running = world.run({ files_up: { output: 'out' } }).catch((error: unknown) => error)
    await expect.poll(() => world.executor.present.size).toBe(1)
    world.abort.abort(reason)
    expect(world.hasLeft).toBe(false)
    expect(await running).toBe(reason)
    expect(world.executor.present.size).toBe(0)
    expect(world.told).toEqual(['preprocessing', 'running'])
    expect(world.sent).toEqual([])
    expect(world.hasLeft).toBe(hasLeft)
    expect(world.open.session.why).toMatch(why)
    expect(await readdir(base)).toEqual([])
  })

  it('leaves its place when it is lost after its program has ended, before its result is told', async () => {
    const lost = new LeaseLostError('deleted')
    const cleaning = new World(() => ({}))
    cleaning.onUpload = () => {
      cleaning.abort.abort(lost)
    }
    await expect(cleaning.run()).rejects.toBe(lost)
    expect(cleaning.told).toEqual(['preprocessing', 'running', 'postprocessing'])
    expect(cleaning.hasLeft).toBe(true)
    // A lease that ran out while the process was frozen is noticed by whoever asks for it.
    for (const hardware of [{}, { memory: 513 }]) {
      const frozen = new World(() => ({}))
      frozen.assertHeld = () => {
        frozen.abort.abort(lost)
        throw lost
      }
      await expect(frozen.run({}, hardware)).rejects.toBe(lost)
      expect(frozen.hasLeft).toBe(true)
    }
  })
})
