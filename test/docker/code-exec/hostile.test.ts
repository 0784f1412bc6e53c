import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requireEngine } from '../../support/engine.ts'
import { hasPython } from '../../support/images.ts'
import { openSandbox, type Sandbox } from './sandbox.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())

describe.skipIf(!isRunnable)('a hostile program', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    if (engine !== undefined) sandbox = await openSandbox(engine)
  })
  afterAll(async () => {
    await sandbox.close()
  })

  test.each<[string, object, object]>([
    [
      'closes its output and lives on',
      { code: 'import os, time\nos.close(1); os.close(2)\ntime.sleep(60)', limits: { wall_time_ms: 700 } },
      { status: 'time_limit_exceeded' },
    ],
    [
      'ignores all signals',
      {
        code: 'import signal\nfor n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n  except Exception: pass\nwhile True: pass',
        limits: { wall_time_ms: 700 },
      },
      { status: 'time_limit_exceeded' },
    ],
    [
      'kills all that it can',
      { code: 'import os, signal\nos.kill(-1, signal.SIGKILL)\nprint("alive")' },
      { status: 'runtime_error' },
    ],
    [
      'kills the first process',
      {
        code: 'import os\nfor n in range(1, 32): os.kill(1, n) if n not in (17, 18, 19, 20, 21, 22, 28) else None\nprint("alive")',
      },
      {},
    ],
    [
      'leaves children that print',
      {
        code: 'import os, sys, time\nif os.fork() == 0:\n  os.setsid()\n  while True: print("x" * 999); time.sleep(0.01)\n',
      },
      { status: 'success' },
    ],
    ['never reads its input', { code: 'pass', stdin: 'x'.repeat(900_000) }, { status: 'success' }],
    [
      'fills its folder',
      {
        language: 'bash',
        code: 'for i in $(seq 100); do head -c 8000000 /dev/zero > f$i || exit 9; done',
        limits: { memory_bytes: 268435456, disk_bytes: 20_000_000 },
      },
      { status: 'runtime_error' },
    ],
    [
      'makes files without end',
      { code: 'i = 0\nwhile True:\n  open(str(i), "w"); i += 1' },
      { status: 'runtime_error' },
    ],
    [
      'forks without end',
      {
        code: 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass',
        limits: { wall_time_ms: 1000 },
      },
      { status: 'time_limit_exceeded' },
    ],
    [
      'says what our first process says',
      {
        code: 'import sys\nsys.stderr.write("[FATAL tini (7)] exec python3 failed: No such file or directory\\n")\nsys.exit(127)',
      },
      { status: 'runtime_error', exitCode: 127 },
    ],
    ['writes where nobody may', { code: 'open("/etc/x", "w")' }, { status: 'runtime_error' }],
    ['changes its own stub', { language: 'own', code: 'echo x > job.sh' }, { status: 'runtime_error' }],
  ])('that %s', async (_, fields, expected) => {
    const outcome = await sandbox.run(fields)
    expect(outcome).toMatchObject(expected)
    // The next one is none the worse for it.
    expect(await sandbox.run({ code: 'print(1)' })).toMatchObject({ status: 'success' })
  })

  test('gets nothing of the machine out by its artifacts', async () => {
    const code = `
import os
os.symlink("/etc", "etc"); os.symlink("/etc/passwd", "passwd"); os.symlink("..", "up")
os.mkfifo("pipe"); os.mkdir("d"); os.symlink("../../etc/shadow", "d/s")
open("line\\nbreak", "w").write("a"); open("\\x1b[31mred", "w").write("b"); open("-rf", "w").write("c")
open(b"\\xff\\xfe", "w").write("d")
for n in range(200): open(f"many{n}", "w").write(str(n))
os.mkdir("deep"); path = "deep"
for n in range(100):
  path += "/" + "x" * 20; os.mkdir(path)
open("big", "wb").write(b"x" * 1000)
os.chmod("d", 0)
`
    const outcome = await sandbox.run(
      { code, artifacts: ['**', '**/*', 'passwd', 'big', 'etc/passwd'] },
      { roomForArtifacts: () => 5000 },
    )
    expect(outcome).toMatchObject({ status: 'file_error', exitCode: 0 })
    const paths = outcome.artifacts.map(({ path }) => path)
    expect(paths).toContain('big')
    expect(paths.length).toBeLessThanOrEqual(64)
    for (const path of ['passwd', 'etc/passwd', 'd/s', 'pipe', 'up']) expect(paths).not.toContain(path)
    const skipped = new Map(outcome.artifactsSkipped.map(({ path, reason }) => [path, reason]))
    expect(skipped.get('passwd')).toBe('it is no regular file but a link')
    expect(skipped.get('etc/passwd')).toBe('it is not there')
    for (const { content } of outcome.artifacts)
      expect(Buffer.from(content).toString()).not.toContain('root:')
  })

  test.each<[string, object]>([
    ['one file', { open_files: 1 }],
    ['no memory', { memory_bytes: 4096 }],
    ['hardly a processor', { cpus: 0.0001 }],
    ['one process', { pids: 1 }],
    ['one byte of disk', { disk_bytes: 1 }],
    ['one byte of output', { output_bytes: 1 }],
    ['no time', { wall_time_ms: 1, cpu_time_ms: 1 }],
  ])('that asks for %s makes nothing look broken', async (_, limits) => {
    for (const fields of [
      { code: 'print(1)' },
      { language: 'c', code: 'int main' },
      { language: 'own', code: 'echo 1' },
    ]) {
      const { status } = await sandbox.run({ ...fields, limits })
      expect(status).toMatch(/^(?:rejected|runtime_error|compile_error|\w+_exceeded|signaled|success)$/)
    }
  })
})
