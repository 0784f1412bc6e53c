import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { requireEngine } from '../../support/engine.ts'
import { buildShellImage } from '../../support/images.ts'
import { MIB, setUp, text, type Bench } from './harness.ts'

const engine = await requireEngine()
const never = new AbortController().signal

describe.skipIf(engine === undefined)('a task', () => {
  let bench: Bench

  beforeAll(async () => {
    if (engine === undefined) return
    bench = setUp(engine, await buildShellImage(engine, 'opthub-runner-test/shell:1', 'cat'))
  })
  afterEach(async () => {
    expect(await bench.left()).toEqual([])
  })
  afterAll(async () => {
    await bench.close()
    expect((await folders()).filter((name) => name.includes(`_${process.pid}_`))).toEqual([])
  })

  async function pidOf(id: string): Promise<number> {
    const answer = (await engine?.json('GET', `/containers/${id}/json`)) as { State: { Pid: number } }
    return answer.State.Pid
  }

  it('is known to run until it ends', async () => {
    await using task = await bench.executor.start(bench.spec('cat; exit 3'), never)
    expect(await task.isRunning()).toBe(true)
    await task.send(new Uint8Array())
    expect(await task.wait()).toMatchObject({ exitCode: 3 })
    expect(await task.isRunning()).toBe(false)
  })

  it.skipIf(process.platform !== 'linux' || process.getuid?.() !== 0)(
    'is known not to run from the moment that it dies, before the engine says so',
    async () => {
      await using task = await bench.executor.start(bench.spec('cat'), never)
      expect(await task.isRunning()).toBe(true)
      const pid = await pidOf(task.id)
      const isHere = await stat(`/proc/${pid}`).then(
        () => true,
        () => false,
      )
      if (!isHere) return
      process.kill(pid, 'SIGKILL')
      await expect.poll(() => task.isRunning(), { interval: 1 }).toBe(false)
    },
  )

  it('says what it occupies', async () => {
    const script = 'x=$(head -c 20000000 /dev/zero | tr "\\0" x); echo; cat >&2; : "$x"'
    await using task = await bench.executor.start(bench.spec(script), never)
    for await (const { data } of task.output()) if (data.length > 0) break
    const bytes = (await task.memoryUsage()) ?? 0
    expect(bytes).toBeGreaterThan(19 * MIB)
    expect(bytes).toBeLessThan(200 * MIB)
  })

  it('gets another name', async () => {
    await using task = await bench.executor.start(bench.spec('cat'), never)
    const name = `evaluator-${crypto.randomUUID()}`
    await task.rename(name)
    expect(task.name).toBe(name)
    expect((await bench.containers()).map(({ Names }) => Names)).toEqual([[`/${name}`]])
  })

  it('that still ran is dead when it is disposed of, and soon gone', async () => {
    const task = await bench.executor.start(bench.spec('trap "" TERM; while :; do sleep 1; done'), never)
    const pid = await pidOf(task.id)
    await task[Symbol.asyncDispose]()
    if (process.platform === 'linux') await expect(stat(`/proc/${pid}/cwd`)).rejects.toThrow()
  })

  it('without network knows localhost, and nothing else', async () => {
    const spec = { limits: { network: 'none', readOnly: true, user: '65534' } } as const
    const { lastLine, stderrTail } = await bench.run('cat /etc/hosts >&2; ls /sys/class/net', { spec })
    expect(text(lastLine.bytes)).toBe('lo')
    expect(text(stderrTail)).toMatch(/^127\.0\.0\.1\s+localhost$/m)
    expect(text(stderrTail)).toMatch(/^::1\s+localhost/m)
  })

  it('without network on an engine that does not see our files has an empty /etc/hosts, and no fault', async () => {
    if (engine === undefined) return
    // As with an engine on another machine: the folder is nowhere there.
    const elsewhere = setUp(engine, 'opthub-runner-test/shell:1', {
      pathRules: [{ base: tmpdir(), hostBase: '/nowhere/at/all' }],
    })
    const spec = { limits: { network: 'none' } } as const
    for (let n = 0; n < 2; n += 1) {
      const { lastLine } = await elsewhere.run('ls /sys/class/net', { spec })
      expect(text(lastLine.bytes)).toBe('lo')
    }
    expect(elsewhere.records.filter(({ msg }) => msg.includes('does not see our files'))).toHaveLength(1)
    expect(await elsewhere.left()).toEqual([])
    await elsewhere.executor.close()
  })

  it('sees the files and folders that it is given, and works where it is told to', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'task-'))
    try {
      await writeFile(join(folder, 'in'), 'given')
      const mounts = [
        { source: folder, target: '/work', readOnly: false },
        { source: join(folder, 'in'), target: '/ro', readOnly: true },
      ]
      const script = 'cat in > out; echo x 2>/dev/null > /ro || echo refused'
      const { lastLine, exitCode } = await bench.run(script, { spec: { mounts, workdir: '/work' } })
      expect([text(lastLine.bytes), exitCode]).toEqual(['refused', 0])
      expect((await readdir(folder)).toSorted()).toEqual(['in', 'out'])
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('whose file is not there does not start, and nothing is made in its place', async () => {
    const source = join(tmpdir(), crypto.randomUUID())
    const spec = bench.spec('true', { mounts: [{ source, target: '/x', readOnly: true }] })
    await expect(bench.executor.start(spec, never)).rejects.toThrow(source)
    await expect(stat(source)).rejects.toThrow()
  })

  it('tells what the engine of its machine has in all', async () => {
    const { cpus, memoryBytes } = await bench.executor.capacity(never)
    expect(cpus).toBeGreaterThan(0)
    expect(memoryBytes).toBeGreaterThan(100 * MIB)
  })
})

/** This process's own folders for the engine; others may run. */
async function folders(): Promise<string[]> {
  const own = new RegExp(`^opthub-runner-hosts-.*_${process.pid}_`)
  return (await readdir(tmpdir())).filter((name) => own.test(name))
}
