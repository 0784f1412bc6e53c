import { describe, expect, test } from 'vitest'
import {
  JobError,
  LeaseLostError,
  NotYetError,
  RetryableError,
  UnfitError,
} from '../../../../src/core/errors.ts'
import { formatJson, toPlain } from '../../../../src/core/json.ts'
import { ImageError, TaskKilledError } from '../../../../src/executors/executor.ts'
import { requestCancel } from '../../../../src/kinds/cancel.ts'
import { codeExecKey, FINAL_STATUSES } from '../../../../src/records/code-exec.ts'
import type { Item } from '../../../../src/stores/store.ts'
import type { Script } from '../../../support/scripted-executor.ts'
import { createWorld, SETTINGS } from './harness.ts'

const hello: Script = () => ({ stdout: 'hi\n', stderr: 'warn\n' })

function plain(item: Item | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(item ?? {}).map(([name, value]) => [name, toPlain(value)]))
}

describe('a job', () => {
  test('leaves one item with all that is known', async () => {
    const world = createWorld({ py: hello })
    const metadata = { n: 1 }
    expect(await world.deliver({ metadata, limits: { pids: 5 } })).toBe('succeeded')
    const item = plain(world.item())
    expect(item).toMatchObject({
      ID: 'CodeExecs#a',
      Trial: 'Job',
      Status: 'success',
      ExitCode: 0,
      Signal: null,
      OomKilled: false,
      Stdout: 'hi\n',
      StdoutBytes: 3,
      StdoutTruncated: false,
      StdoutEncoding: 'utf8',
      Stderr: 'warn\n',
      StderrBytes: 5,
      StderrTruncated: false,
      StderrEncoding: 'utf8',
      Time: { QueueMs: null, CpuMs: null },
      MemoryPeakBytes: null,
      Artifacts: [],
      ArtifactsSkipped: [],
      Sandbox: { ImageDigest: 'sha256:py', Runtime: 'default', Start: 'cold', Attempt: 1 },
      Metadata: metadata,
      IgnoreStream: true,
    })
    expect(item['Limits']).toEqual({
      wall_time_ms: 10_000,
      cpu_time_ms: 10_000,
      memory_bytes: 268_435_456,
      pids: 5,
      output_bytes: 131_072,
      file_size_bytes: 16_777_216,
      disk_bytes: 67_108_864,
      open_files: 256,
      cpus: 1,
    })
    const { WallMs, PrepareMs } = item['Time'] as Record<string, number>
    expect(WallMs).toBeGreaterThanOrEqual(0)
    expect(PrepareMs).toBeGreaterThanOrEqual(0)
    for (const name of ['CreatedAt', 'StartedAt', 'FinishedAt']) expect(item[name]).toMatch(/^\d{4}-.*Z$/)
    expect(world.executor.present.size).toBe(0)
  })

  test('runs within walls, and those of a common program tell nothing of it', async () => {
    const world = createWorld({ py: hello, 'own:1': hello })
    await world.deliver({ args: ['secret'], env: { SECRET: '1' }, stdin: 'secret' })
    const [spec] = world.executor.started
    expect(spec).toMatchObject({
      kind: 'code-exec',
      image: 'py',
      environment: { HOME: '/work' },
      workdir: '/work',
      keep: false,
      limits: {
        cpus: 1,
        memoryBytes: 268_435_456,
        pids: 64,
        network: 'none',
        readOnly: true,
        user: '65534:65534',
        ulimits: { nofile: 256, fsize: 16_777_216, core: 0, cpu: 11 },
      },
      walls: { seccomp: '{}', workdir: { path: '/work', bytes: 67_108_864, uid: 65534 } },
    })
    expect(formatJson(JSON.stringify(spec))).not.toMatch(/secret/i)
    expect(spec?.isUnique).toBeUndefined()
    await world.deliver({ id: 'b' })
    expect({ ...world.executor.started[1], name: '' }).toEqual({ ...spec, name: '' })
    await world.deliver({
      id: 'c',
      language: undefined,
      image: 'own:1',
      command: ['x'],
      args: ['y'],
      env: { K: 'v' },
    })
    expect(world.executor.started[2]).toMatchObject({
      command: ['x', 'y'],
      environment: { HOME: '/work', K: 'v' },
      isUnique: true,
    })
  })

  test.each<[object, string, string]>([
    [{ colour: 1 }, 'rejected', 'unknown key colour'],
    [
      { language: 'cobol' },
      'rejected',
      'there is no language cobol here; there are bash, c, cpp, node, python',
    ],
    [{ language: '__proto__' }, 'rejected', 'there is no language __proto__ here'],
    [
      { language: undefined, image: 'x:1', command: ['c'] },
      'rejected',
      'the image x:1 is not allowed here; allowed are own:*',
    ],
    [{ language: undefined, image: 'own:gone', command: ['c'] }, 'rejected', 'Image own:gone does not exist'],
    [{ allow_internet: true }, 'rejected', 'the internet is not allowed here'],
    [
      { limits: { memory_bytes: 2 ** 31, pids: 101 } },
      'rejected',
      'limits.memory_bytes is 2147483648, and at most 1073741824 is allowed; limits.pids is 101, and at most 100 is allowed',
    ],
    [{ limits: { memory_bytes: 1 } }, 'rejected', 'limits.memory_bytes is 1, and at least 6291456 is needed'],
    [{ deadline: '2020-01-01T00:00:00Z' }, 'rejected', 'its deadline 2020-01-01T00:00:00.000Z has passed'],
    [{ files: [{ path: 'main.py', content: '' }] }, 'rejected', 'two files go to main.py'],
    [
      { limits: { disk_bytes: 4096 }, files: [{ path: 'a', content: 'x'.repeat(5000) }] },
      'rejected',
      'more than limits.disk_bytes (4096)',
    ],
    [
      { limits: { file_size_bytes: 10 }, code: 'x'.repeat(11) },
      'rejected',
      'main.py has 11 bytes, more than limits.file_size_bytes (10)',
    ],
    [
      { language: undefined, image: 'own:1', command: ['c'], code: 'a', stdin: 'b' },
      'rejected',
      'stdin can not be given',
    ],
  ])('that may not be is rejected, and says why: %j', async (fields, status, reason) => {
    const world = createWorld({ py: hello, 'own:1': hello })
    expect(await world.deliver(fields)).toBe('succeeded')
    const item = plain(world.item())
    expect(item).toMatchObject({ Status: status, ExitCode: null, Sandbox: null, Stdout: '', StartedAt: null })
    expect(item['ErrorMessage']).toContain(reason)
    expect(world.executor.started).toEqual([])
  })

  test.each([
    [true, 'success'],
    [false, 'rejected'],
    [[], 'rejected'],
  ])('may name an image where that is allowed (%j)', async (allowImages, status) => {
    const world = createWorld({ 'any:1': hello }, { allowImages })
    await world.deliver({ language: undefined, image: 'any:1', command: ['c'] })
    expect(world.item()?.['Status']).toBe(status)
  })

  test.each<[Awaited<ReturnType<Script>>, object]>([
    [{ exitCode: 3 }, { Status: 'runtime_error', ExitCode: 3 }],
    [{ exitCode: 139 }, { Status: 'signaled', Signal: 'SIGSEGV', ExitCode: 139 }],
    [
      { exitCode: 137, oomKilled: true },
      { Status: 'memory_limit_exceeded', OomKilled: true },
    ],
    [
      { exitCode: 1, oomKilled: true },
      { Status: 'runtime_error', OomKilled: true },
    ],
    [{ stdout: Buffer.from([0xff]) }, { Stdout: '/w==', StdoutEncoding: 'base64', StdoutBytes: 1 }],
    [
      { stdout: 'x'.repeat(200_000) },
      { Status: 'output_limit_exceeded', StdoutBytes: 200_000, StdoutTruncated: true },
    ],
    [
      { stdout: 'before', neverEnds: true },
      { Status: 'time_limit_exceeded', Stdout: 'before' },
    ],
  ])('that ends as %j', async (script, expected) => {
    const world = createWorld({ py: () => script })
    await world.deliver({ limits: { wall_time_ms: 60 } })
    expect(plain(world.item())).toMatchObject(expected)
  })

  test('with artifacts has a working folder that is looked into', async () => {
    const world = createWorld({ py: hello })
    await world.deliver({ artifacts: ['a.csv'] })
    expect(plain(world.item())).toMatchObject({
      Status: 'file_error',
      ExitCode: 0,
      ArtifactsSkipped: [{ Path: 'a.csv', Reason: 'it is not there' }],
    })
    expect(world.executor.started[0]).toMatchObject({
      isUnique: true,
      walls: { workdir: { id: 'workdir-0' } },
    })
    expect(world.workdirs.size).toBe(0)
  })

  test('is compiled in the folder in which it runs', async () => {
    const world = createWorld({
      gcc: (_, __, { command = [] }) => (command[0] === 'sh' ? { stderr: 'a warning' } : { stdout: 'ran' }),
    })
    await world.deliver({ language: 'c', args: ['x'], env: { K: 'v' }, stdin: 'in' })
    expect(plain(world.item())).toMatchObject({ Status: 'success', Stdout: 'ran', Stderr: '' })
    const [compile, run] = world.executor.started
    expect(run).toMatchObject({
      command: ['./program', 'x'],
      environment: { K: 'v' },
      limits: { memoryBytes: 268_435_456 },
    })
    expect(compile).toMatchObject({
      environment: { HOME: '/work' },
      limits: { memoryBytes: 1024 ** 3 },
      isUnique: true,
    })
    expect(compile?.walls?.workdir).toBe(run?.walls?.workdir)
    expect(world.workdirs.size).toBe(0)
  })

  test('that can not be compiled says what the compiler said', async () => {
    const world = createWorld({ gcc: () => ({ stderr: 'no main', exitCode: 1 }) })
    await world.deliver({ language: 'c' })
    expect(plain(world.item())).toMatchObject({
      Status: 'compile_error',
      ExitCode: 1,
      Stderr: 'no main',
      ErrorMessage: 'the compiler ended with exit code 1',
    })
    expect(world.executor.started).toHaveLength(1)
  })
})

describe('exactly one result', () => {
  test('a job that has one is left alone', async () => {
    const world = createWorld({ py: hello })
    await world.deliver({})
    const before = world.item()
    expect(await world.deliver({ code: 'print(2)' })).toBe('settled')
    expect(world.item()).toEqual(before)
    expect(world.executor.started).toHaveLength(1)
  })

  test('a job that an earlier attempt has left behind runs again, and keeps what is its own', async () => {
    const world = createWorld({ py: hello })
    world.store.add({
      ID: 'CodeExecs#a',
      Trial: 'Job',
      Status: 'running',
      Token: 'x',
      CreatedAt: 'then',
      Owner: 'me',
    })
    expect(await world.deliver({}, { attempt: 2 })).toBe('succeeded')
    expect(plain(world.item())).toMatchObject({
      Status: 'success',
      CreatedAt: 'then',
      Owner: 'me',
      Sandbox: { Attempt: 2 },
    })
    expect(world.item()?.['Token']).not.toBe('x')
  })

  test('two messages of one id that are worked on at the same time: who is done first counts', async () => {
    let second: ReturnType<typeof world.deliver> | undefined
    let finishSecond: () => void = () => undefined
    const isFirstDone = new Promise<void>((resolve) => (finishSecond = resolve))
    const world = createWorld({
      py: async () => {
        if (second === undefined) {
          const begun = world.item()?.['Token']
          second = world.deliver({})
          await expect.poll(() => world.executor.started.length).toBe(2)
          expect(world.item()).toMatchObject({ Status: 'running' })
          expect(world.item()?.['Token']).not.toBe(begun)
          return { stdout: 'first' }
        }
        await isFirstDone
        return { stdout: 'second' }
      },
    })
    expect(await world.deliver({})).toBe('succeeded')
    const stored = world.item()
    expect(plain(stored)).toMatchObject({ Status: 'success', Stdout: 'first' })
    finishSecond()
    expect(await second).toBe('settled')
    expect(world.item()).toEqual(stored)
    expect(world.executor.present.size).toBe(0)
  })

  test('a result that came meanwhile counts', async () => {
    const world = createWorld({
      py: () => {
        world.store.add({ ...world.item(), Status: 'success', Token: 'another' })
        return {}
      },
    })
    expect(await world.deliver({})).toBe('settled')
    const other = createWorld({ py: hello })
    other.store.before = (call, key) => {
      if (call === 'update')
        other.store.items.set(key, { ID: 'CodeExecs#a', Trial: 'Job', Status: 'canceled' })
    }
    expect(await other.deliver({})).toBe('settled')
    expect(other.executor.started).toEqual([])
  })

  test('a stop, a lost lease and a broken engine are no result', async () => {
    const stop = new AbortController()
    const reason = new Error('stop')
    const world = createWorld({
      py: () => {
        setTimeout(() => {
          stop.abort(reason)
        }, 5)
        return { neverEnds: true }
      },
    })
    await expect(world.deliver({}, { signal: stop.signal })).rejects.toBe(reason)
    expect(world.item()?.['Status']).toBe('running')
    expect(world.executor.present.size).toBe(0)

    const killed = createWorld({ py: () => ({ waitError: new TaskKilledError('the engine stopped', 137) }) })
    await expect(killed.deliver({})).rejects.toBeInstanceOf(RetryableError)
    const lost = new LeaseLostError('lost')
    let isHeld = true
    const expired = createWorld({
      py: () => {
        isHeld = false
        return {}
      },
    })
    const assertHeld = (): void => {
      if (!isHeld) throw lost
    }
    await expect(expired.deliver({}, { assertHeld })).rejects.toBe(lost)
    expect(expired.item()?.['Status']).toBe('running')
  })

  test('a job that is given up has a result too', async () => {
    const failing = createWorld({ py: hello })
    failing.executor.failure = new JobError(
      'too_many_attempts',
      'Internal Server Error',
      'given up after 10 attempts',
    )
    expect(await failing.deliver({})).toBe('failed')
    expect(plain(failing.item())).toMatchObject({
      Status: 'rejected',
      ErrorMessage: 'Internal Server Error: given up after 10 attempts',
    })
  })
})

describe('a language whose image is not there', () => {
  test('is the operator’s to mend: its jobs wait, and the log says once how', async () => {
    const world = createWorld({})
    for (const id of ['a', 'b']) {
      const error: unknown = await world.deliver({ id }).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(NotYetError)
      expect(error).toMatchObject({ parked: true, retryAfterSeconds: 60 })
      expect(world.item(id)).toBeUndefined()
    }
    const said = world.log.filter(({ level }) => level === 'ERROR')
    expect(said).toHaveLength(1)
    expect(said[0]?.fields['reason']).toBe(
      'The language python can not be used: Image py does not exist. Get it by `docker pull py`. Name an image that has it in code_exec.languages.python.image',
    )
    world.executor.images.set('py', hello)
    expect(await world.deliver({})).toBe('succeeded')
    expect(world.log.at(-1)?.level).toBe('INFO')
    expect(world.log.some(({ msg }) => msg === 'A language works again')).toBe(true)
  })

  test('that can not be started is one too, and an own image is rejected', async () => {
    const failure = new ImageError('not_startable', 'there is no such program in it')
    const world = createWorld({
      py: () => Promise.reject(failure),
      'own:1': () => Promise.reject(failure),
    })
    await expect(world.deliver({})).rejects.toBeInstanceOf(NotYetError)
    await expect(world.deliver({})).rejects.toBeInstanceOf(NotYetError)
    expect(world.log.filter(({ level }) => level === 'ERROR')).toHaveLength(1)
    expect(world.log.some(({ msg }) => msg === 'A language works again')).toBe(false)
    await world.deliver({ id: 'b', language: undefined, image: 'own:1', command: ['c'] })
    expect(plain(world.item('b'))).toMatchObject({
      Status: 'rejected',
      ErrorMessage: 'there is no such program in it',
    })
  })

  test('is not to be made to look broken by the limits of a job', async () => {
    for (const failure of [
      new ImageError('not_startable', 'no'),
      new RetryableError('engine', 'The Docker engine refused'),
    ]) {
      const refuse: Script = (_, __, { limits }) => (limits.pids === 1 ? Promise.reject(failure) : {})
      const world = createWorld({ py: hello, 'own:1': hello })
      const start = world.executor.start.bind(world.executor)
      world.executor.start = async (spec, signal, onPhase) => {
        await refuse('', {}, spec)
        return await start(spec, signal, onPhase)
      }
      await world.deliver({ limits: { pids: 1 } })
      await world.deliver({
        id: 'b',
        language: undefined,
        image: 'own:1',
        command: ['c'],
        limits: { pids: 1 },
      })
      for (const id of ['a', 'b']) {
        expect(plain(world.item(id))).toMatchObject({
          Status: 'rejected',
          ErrorMessage: 'no container can be started with these limits: pids 1',
        })
      }
      world.executor.failure = failure
      await expect(world.deliver({ id: 'c', limits: { pids: 1 } })).rejects.toThrow()
      expect(world.item('c')?.['Status']).not.toBe('rejected')
    }
  })

  test('that lacks its interpreter is told from a program that only says so', async () => {
    const lacking = createWorld({ py: () => ({ exitCode: 127, stderr: 'exec python3 failed' }) })
    const error: unknown = await lacking.deliver({}).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(NotYetError)
    expect(String(error)).toContain('Image py has not what it needs: exec python3 failed')
    const lying = createWorld({
      py: (input) => (input.includes('print(1)') ? { exitCode: 127, stderr: 'exec python3 failed' } : {}),
    })
    await lying.deliver({})
    expect(plain(lying.item())).toMatchObject({ Status: 'runtime_error', ExitCode: 127 })
    const compiler = createWorld({ gcc: () => ({ exitCode: 127, stderr: 'sh: gcc: not found' }) })
    await expect(compiler.deliver({ language: 'c' })).rejects.toThrow(/sh: gcc: not found/)
  })

  test('that lacks its compiler is told from a job that calls what is not there', async () => {
    const job = { exitCode: 127, stderr: 'build.sh: line 1: nosuch: not found' }
    const script = { image: 'own', file: 'build.sh', compile: ['./build.sh'], command: ['./program'] }
    for (const [language, trial] of [
      ['c', { exitCode: 1, stderr: 'no input files' }],
      ['script', {}],
    ] as const) {
      let runs = 0
      const run: Script = () => ((runs += 1) === 1 ? job : trial)
      const world = createWorld({ gcc: run, own: run }, { languages: { ...SETTINGS.languages, script } })
      await world.deliver({ language })
      expect(plain(world.item())).toMatchObject({
        Status: 'compile_error',
        ExitCode: 127,
        Stderr: job.stderr,
      })
      expect(runs).toBe(2)
    }
    const lacking = createWorld({ own: () => job }, { languages: { script } })
    await expect(lacking.deliver({ language: 'script' })).rejects.toBeInstanceOf(NotYetError)
  })

  test('a machine that is too small leaves the job to another', async () => {
    const world = createWorld(
      { py: hello },
      { maxLimits: { ...createWorld({}).services.settings.maxLimits, cpus: 100 } },
    )
    await expect(world.deliver({ limits: { cpus: 64 } })).rejects.toBeInstanceOf(UnfitError)
    await expect(world.deliver({ resources: { gpus: 1 } })).rejects.toBeInstanceOf(UnfitError)
  })
})

describe('a job that is wanted no more', () => {
  test('is ended while it runs', async () => {
    const world = createWorld({
      py: async () => {
        expect(await requestCancel(world.store, codeExecKey('a'), FINAL_STATUSES)).toBe('written')
        return { stdout: 'before', neverEnds: true }
      },
    })
    expect(await world.deliver({})).toBe('succeeded')
    expect(plain(world.item())).toMatchObject({ Status: 'canceled', Stdout: 'before', CancelRequested: true })
    expect(await requestCancel(world.store, codeExecKey('a'), FINAL_STATUSES)).toBe('exists')
  })

  test('never begins, even when nobody knows it yet', async () => {
    const world = createWorld({ py: hello })
    await requestCancel(world.store, codeExecKey('a'), FINAL_STATUSES)
    expect(await world.deliver({})).toBe('succeeded')
    expect(world.executor.started).toEqual([])
    expect(world.item()?.['Status']).toBe('canceled')
  })

  test('is found out though the table fails now and then', async () => {
    let gets = 0
    const world = createWorld({
      py: async () => {
        await requestCancel(world.store, codeExecKey('a'), FINAL_STATUSES)
        return { neverEnds: true }
      },
    })
    world.store.before = (call) => {
      if (call === 'get' && (gets += 1) % 2 === 0) throw new RetryableError('store', 'throttled')
    }
    await world.deliver({})
    expect(world.item()?.['Status']).toBe('canceled')
  })
})
