import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requireEngine } from '../../support/engine.ts'
import { buildPythonImage, hasPython } from '../../support/images.ts'
import { setUp, type Bench } from './harness.ts'

const engine = await requireEngine()
const canRun = engine !== undefined && process.getuid?.() === 0 && (await hasPython())

/** Asks to be traced and gets a signal: then it stops, which containerd takes for its end. */
const PROGRAM = `import ctypes, os, time
ctypes.CDLL(None).ptrace(0, 0, 0, 0)
if os.fork() == 0:
    os._exit(0)
time.sleep(3600)
`

describe.skipIf(!canRun)('a program that lets itself be traced', () => {
  let bench: Bench

  beforeAll(async () => {
    if (engine === undefined) return
    bench = setUp(engine, await buildPythonImage(engine, 'opthub-runner-test/traced:1', PROGRAM))
  })
  afterAll(() => bench.close())

  it('fails, and does not live on without its container', async () => {
    let id = ''
    const spec = bench.spec('', { command: ['/usr/bin/python3', '/app/main.py'] })
    {
      await using task = await bench.executor.start(spec, new AbortController().signal)
      id = task.id
      await task.send(new Uint8Array())
      expect((await task.wait()).exitCode).toBeGreaterThan(0)
    }
    await expect.poll(() => processesOf(id)).toEqual([])
    expect(await bench.left()).toEqual([])
  })
})

async function processesOf(id: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const groups = await Promise.all(
    pids.map(async (pid) => [pid, await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')] as const),
  )
  return groups.filter(([, text]) => text.includes(id)).map(([pid]) => pid)
}
