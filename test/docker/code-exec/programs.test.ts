import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { OperatorError, RetryableError } from '../../../src/core/errors.ts'
import type { Executor } from '../../../src/executors/executor.ts'
import type { CodeExecOutcome } from '../../../src/records/code-exec.ts'
import { requireEngine } from '../../support/engine.ts'
import { hasPython } from '../../support/images.ts'
import { IMAGE, NODE_IMAGE, openSandbox, type Sandbox } from './sandbox.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())

/** What is compared of an outcome. */
function shown({ status, exitCode, stdout, stderr }: CodeExecOutcome): unknown {
  return {
    status,
    exitCode,
    stdout: Buffer.from(stdout.bytes).toString(),
    stderr: Buffer.from(stderr.bytes).toString(),
  }
}

function success(stdout: string): unknown {
  return { status: 'success', exitCode: 0, stdout, stderr: '' }
}

describe.skipIf(!isRunnable)('programs', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    if (engine !== undefined) sandbox = await openSandbox(engine)
  })
  afterAll(async () => {
    await sandbox.close()
    const left = (await engine?.json('GET', '/containers/json', {
      query: {
        all: 'true',
        filters: JSON.stringify({ label: [`org.opthub.runner.process=${sandbox.processName}`] }),
      },
    })) as unknown[]
    expect(left).toEqual([])
  })

  test.each<[string, object, string]>([
    [
      'python',
      {
        code: 'import sys, os\nprint(sys.argv, os.environ["K"], open("d/a").read(), input(), os.getcwd(), os.getuid())',
      },
      "['main.py', 'x y'] v é in /work 65534\n",
    ],
    [
      'node',
      {
        code: 'const fs = require("fs")\nconsole.log(process.argv.slice(2), process.env.K, fs.readFileSync("d/a", "utf8"), fs.readFileSync(0, "utf8"), process.cwd(), process.getuid())',
      },
      "[ 'x y' ] v é in /work 65534\n",
    ],
    [
      'bash',
      { code: 'read -r line; echo "$@" $K $(cat d/a) $line $PWD $(id -u)' },
      'x y v é in /work 65534\n',
    ],
    [
      'c',
      { code: '// read -r line; echo "$@" $K $(cat d/a) $line $PWD $(id -u)\nint main' },
      'x y v é in /work 65534\n',
    ],
    [
      'own',
      { code: 'read -r line; echo "$@" $K $(cat d/a) $line $PWD $(id -u)' },
      'x y v é in /work 65534\n',
    ],
    [
      'input',
      { code: 'import sys, os\nprint(sys.argv, os.environ["K"], open("d/a").read())', stdin: '' },
      "['-', 'x y'] v é\n",
    ],
  ])('of %s have their arguments, environment, files and input', async (language, fields, stdout) => {
    const files = [{ path: 'd/a', content: 'é' }]
    const outcome = await sandbox.run({
      language,
      files,
      args: ['x y'],
      env: { K: 'v' },
      stdin: 'in',
      ...fields,
    })
    expect(shown(outcome)).toEqual(success(stdout))
    expect(outcome.sandbox).toMatchObject({
      start: 'cold',
      imageDigest: expect.stringMatching(/^sha256:/) as string,
    })
    expect(outcome.memoryPeakBytes).not.toBe(0)
    expect(outcome.cpuMs).not.toBe(0)
    expect(outcome.wallMs).toBeGreaterThan(0)
  })

  test('of an image of their own', async () => {
    const own = {
      image: IMAGE,
      command: ['bash', '-c', 'cat in/x; cat; pwd'],
      files: [{ path: 'in/x', content: 'file ' }],
    }
    expect(shown(await sandbox.run({ ...own, stdin: 'input ' }))).toEqual(success('file input /work\n'))
    expect(shown(await sandbox.run({ ...own, code: 'code ' }))).toEqual(success('file code /work\n'))
    // Whether the command is missing or only says so nobody can tell.
    const missing = await sandbox.run({ image: IMAGE, command: ['no-such-program'] })
    expect(shown(missing)).toMatchObject({
      status: 'runtime_error',
      exitCode: 127,
      stderr: expect.stringContaining('no-such-program') as string,
    })
    expect(await sandbox.run({ image: `${IMAGE}x`, command: ['x'] })).toMatchObject({ status: 'rejected' })
  })

  test.each<[string, object, string, object]>([
    ['an exit code', { code: 'import sys; print("hi"); sys.exit(3)' }, 'runtime_error', { exitCode: 3 }],
    ['exit 137', { code: 'import os; os._exit(137)' }, 'signaled', { signal: 'SIGKILL', oomKilled: false }],
    [
      'a kill of its own',
      { code: 'import os; os.kill(os.getpid(), 9)' },
      'signaled',
      { signal: 'SIGKILL', exitCode: 137 },
    ],
    [
      'a segmentation fault',
      { code: 'import os; os.kill(os.getpid(), 11)' },
      'signaled',
      { signal: 'SIGSEGV' },
    ],
    [
      'too large a file',
      { code: 'import signal; signal.signal(25, signal.SIG_DFL); open("x", "wb").write(b"x" * 20_000_000)' },
      'signaled',
      { signal: 'SIGXFSZ' },
    ],
    ['too much memory', { code: 'x = bytearray(10**9)' }, 'memory_limit_exceeded', { oomKilled: true }],
    [
      'a child that takes too much memory',
      {
        code: 'import os\nif os.fork() == 0:\n    x = bytearray(10**9)\nelse:\n    os.wait(); print("alive")',
      },
      'success',
      { oomKilled: true, exitCode: 0 },
    ],
    ['an error', { code: 'raise ValueError("no")' }, 'runtime_error', { exitCode: 1 }],
    [
      'a build that calls what is not there',
      { language: 'script', code: 'nosuch' },
      'compile_error',
      { exitCode: 127 },
    ],
    [
      'a build by a file that can not be run',
      { language: 'ownScript', code: 'true' },
      'compile_error',
      { exitCode: 126 },
    ],
    ['no compiler', { language: 'c', code: 'nothing' }, 'compile_error', { exitCode: 1 }],
  ])('that end by %s', async (_, fields, status, more) => {
    expect(await sandbox.run(fields)).toMatchObject({ status, ...more })
  })

  test('keep what they printed before a kill', async () => {
    const endless = await sandbox.run({
      code: 'print("before")\nwhile True: pass',
      limits: { wall_time_ms: 1500 },
    })
    expect(shown(endless)).toMatchObject({ status: 'time_limit_exceeded', stdout: 'before\n' })
    expect(endless.wallMs).toBeGreaterThanOrEqual(1500)
    expect(endless.wallMs).toBeLessThan(1500 + 1000)
    const flood = await sandbox.run({ code: 'while True: print("x" * 1000)', limits: { output_bytes: 5000 } })
    expect(flood).toMatchObject({ status: 'output_limit_exceeded' })
    expect(flood.stdout.bytes.length).toBe(5000)
    expect(flood.stdout.totalBytes).toBeGreaterThan(5000)
  })

  test('are killed for all the CPU time of their processes together', async () => {
    const code = 'import os\nos.fork()\nos.fork()\nwhile True: pass'
    const outcome = await sandbox.run({ code, limits: { cpu_time_ms: 700, wall_time_ms: 20_000 } })
    expect(outcome.status).toBe('time_limit_exceeded')
    expect(outcome.wallMs).toBeLessThan(10_000)
  })

  test('sleep without being charged', async () => {
    const outcome = await sandbox.run({ code: 'import time; time.sleep(1)', limits: { cpu_time_ms: 600 } })
    expect(outcome.status).toBe('success')
  })

  test('end when they are wanted no more', async () => {
    const controller = new AbortController()
    const outcome = await sandbox.run(
      { code: 'print("on", flush=True)\nwhile True: pass' },
      {
        cancel: controller.signal,
        onOutput: () => {
          controller.abort()
        },
      },
    )
    expect(shown(outcome)).toMatchObject({ status: 'canceled', stdout: 'on\n' })
  })

  test('are heard as they print', async () => {
    const heard: string[] = []
    const outcome = await sandbox.run(
      { code: 'import sys\nprint("out")\nprint("err", file=sys.stderr)' },
      {
        onOutput: ({ stream, data }) => {
          heard.push(`${stream} ${Buffer.from(data).toString()}`)
        },
      },
    )
    expect(heard.sort()).toEqual(['stderr err\n', 'stdout out\n'])
    expect(outcome.status).toBe('success')
  })

  test('leave artifacts, of which only plain files are taken', async () => {
    const code = [
      'mkdir -p out/deep; printf 1,2 > out/deep/a.csv; printf "\\377" > out/raw; ln -s /etc/passwd out/link; mkfifo out/pipe',
      'printf b > b.csv; ln b.csv out/hard; chmod 000 b.csv; cp -r /nowhere . ; true',
    ].join('\n')
    const outcome = await sandbox.run({ language: 'bash', code, artifacts: ['out/**', 'none*'] })
    expect(outcome.status).toBe('success')
    expect(outcome.artifacts.map(({ path }) => path).sort()).toEqual(['out/deep/a.csv', 'out/raw'])
    expect(outcome.artifactsSkipped.map(({ path }) => path).sort()).toEqual(
      expect.arrayContaining(['out/link', 'out/pipe']),
    )
    const lacking = await sandbox.run({ code: 'open("other", "w")', artifacts: ['result.json'] })
    expect(lacking).toMatchObject({ status: 'file_error', exitCode: 0 })
  })

  test('get their files where the engine does not see ours', async () => {
    const { executor } = sandbox.engine
    const words = ['invalid mount config: bind source path does not exist: ', "can't be mounted"]
    const failures = [
      (path: string) => new RetryableError('engine', `${words[0] ?? ''}${path}`),
      (path: string) => new OperatorError(`${path} ${words[1] ?? ''}`, '', ''),
    ]
    for (const failure of failures) {
      const elsewhere: Executor = {
        ...executor,
        start: async (spec, signal, onPhase) => {
          const [mount] = spec.mounts ?? []
          if (mount !== undefined) throw failure(mount.source)
          return await executor.start(spec, signal, onPhase)
        },
      }
      const files = [{ path: 'd/a', content: 'é' }]
      for (const artifacts of [[], ['copy']]) {
        const own = {
          language: 'own',
          code: 'cat d/a job.sh > copy; cat copy; echo x >> d/a',
          files,
          artifacts,
        }
        const outcome = await sandbox.run({ ...own, limits: { pids: 20 } }, {}, elsewhere)
        expect(shown(outcome)).toEqual(success(`é${own.code}`))
        expect(outcome.artifacts).toHaveLength(artifacts.length)
      }
      const image = { image: IMAGE, command: ['cat', 'd/a'], files }
      expect(shown(await sandbox.run(image, {}, elsewhere))).toEqual(success('é'))
      const bare = { image: NODE_IMAGE, command: ['node', '-p', '1'], files }
      expect(await sandbox.run(bare, {}, elsewhere)).toMatchObject({
        status: 'rejected',
        errorMessage: expect.stringContaining('its sh and base64 are needed') as string,
      })
      expect(
        shown(await sandbox.run({ image: NODE_IMAGE, command: ['node', '-p', '1'] }, {}, elsewhere)),
      ).toEqual(success('1\n'))
    }
  })

  test('whose compiler is not in the image wait for another image', async () => {
    await expect(sandbox.run({ language: 'lacking', code: '' })).rejects.toThrow(
      /language lacking can not be used: .*nosuchcompiler.*not found/,
    )
  })

  test('that are compiled or bound leave artifacts too', async () => {
    const c = await sandbox.run({
      language: 'c',
      code: '// cat main.c > copy\nint main',
      artifacts: ['copy'],
    })
    expect(c).toMatchObject({ status: 'success', artifacts: [{ path: 'copy' }] })
    const own = await sandbox.run({ language: 'own', code: 'cat job.sh > copy', artifacts: ['*'] })
    expect(own).toMatchObject({ status: 'success' })
    expect(own.artifacts.map(({ path }) => path)).toEqual(['copy'])
  })
})
