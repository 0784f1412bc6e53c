import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { Slots } from '../../src/core/slots.ts'
import { runCodeExec } from '../../src/kinds/code-exec/execute.ts'
import { parseCodeExecMessage } from '../../src/kinds/code-exec/message.ts'
import { rejected } from '../../src/kinds/code-exec/outcome.ts'
import { DEFAULT_LIMITS } from '../../src/kinds/code-exec/settings.ts'
import type { CodeExecOutcome } from '../../src/records/code-exec.ts'
import { IMAGE, openSandbox, type Sandbox } from '../docker/code-exec/sandbox.ts'
import { end } from '../docker/walls/walled.ts'
import { requireEngine } from '../support/engine.ts'
import { hasPython } from '../support/images.ts'
import { expectSound, textOf, view, wanted } from './expectations.ts'
import { openHost, type Host } from './host.ts'
import { readPrograms, SHARED_FILES, type Program } from './program.ts'
import { startStallMeter, type StallMeter } from './stalls.ts'
import { Witness } from './witness.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())
const MIB = 1024 ** 2

/** Of a program that asks for no others. */
const LIMITS = {
  ...{ wall_time_ms: 20_000, cpu_time_ms: 10_000, memory_bytes: 64 * MIB, pids: 32, output_bytes: 65_536 },
  ...{ file_size_bytes: 4 * MIB, disk_bytes: 8 * MIB, open_files: 64 },
}
const STALL_MS = 100
/** What our own code does comes again; what the machine does to all does not. */
const STALLED_RUNS = 4
/** An honest job comes after so many hostile ones. */
const HONEST_EVERY = 8
const CPU_SHARE = 1.2
const CPU_SLACK_MS = 60
const TIMEOUT_MS = 240_000

const HONEST = 'total = 0\nfor n in range(3_000_000): total = (total * 31 + n) % 1_000_003\nprint(total)'
/** More than any pipe holds. */
const LARGE = 500_000

interface Ended {
  outcome: CodeExecOutcome
  left: string[]
  /** The host, before and after. */
  host: [string, string]
  /** Of the last run: there are more where it is long. */
  stallMs: number
}

const all = readPrograms().filter(({ arch = process.arch }) => arch === process.arch)
/** Somebody else's job, which runs beside them and is to be left in peace. */
const neighbour = all.find(({ name }) => name.startsWith('neighbour.'))
const programs = all.filter((program) => program !== neighbour)

test('the catalogue is complete', () => {
  expect(programs.length).toBeGreaterThanOrEqual(60)
})

test('a stall is seen, whatever else the machine does', async () => {
  const meter = startStallMeter()
  const since = performance.now()
  await delay(50)
  const { user } = process.cpuUsage()
  while (process.cpuUsage().user - user < 2 * STALL_MS * 1000);
  await delay(50)
  meter.stop()
  expect(meter.longestSince(since)).toBeGreaterThan(STALL_MS)
})

describe.skipIf(!isRunnable)('a hostile program', () => {
  let sandbox: Sandbox
  let witness: Witness
  let meter: StallMeter
  let host: Host
  let aloneMs: number
  const moved = new AbortController()
  let neighbourEnd: Promise<CodeExecOutcome>
  const slots = new Slots(availableParallelism())
  const ends = new Map<string, Promise<Ended>>()
  const honest: Promise<Ended>[] = []
  const late: number[] = []
  const stalls: number[] = []
  const seen: number[] = []

  beforeAll(async () => {
    if (engine === undefined) return
    sandbox = await openSandbox(engine, { maxLimits: { ...DEFAULT_LIMITS, wallTimeMs: 600_000 } })
    witness = Witness.open(engine, sandbox.processName)
    host = await openHost()
    meter = startStallMeter()
    const alone = []
    for (let n = 0; n < 3; n++) alone.push(cpuOf(await runAlone(sandbox, { code: HONEST, limits: LIMITS })))
    aloneMs = median(alone)
    await startNeighbour()
    for (const [index, program] of programs.entries()) {
      ends.set(program.name, inSlot(`h${String(index)}`, messageOf(program)))
      if (index % HONEST_EVERY === HONEST_EVERY - 1)
        honest.push(inSlot(`honest${String(index)}`, { code: HONEST }))
    }
  }, TIMEOUT_MS)

  afterAll(async () => {
    await Promise.allSettled([...ends.values(), ...honest])
    moved.abort()
    await neighbourEnd.catch(() => undefined)
    meter.stop()
    witness.close()
    await sandbox.close()
    await host.close()
  }, TIMEOUT_MS)

  async function startNeighbour(): Promise<void> {
    const limits = { ...LIMITS, wall_time_ms: 600_000 }
    await new Promise<void>((resolve, reject) => {
      neighbourEnd = runAlone(
        sandbox,
        { code: neighbour?.code ?? '', limits },
        { cancel: moved.signal, onOutput: resolve },
      )
      neighbourEnd.then(({ status }) => {
        reject(new Error(`The neighbour has ended: ${status}`))
      }, reject)
    })
  }

  function messageOf({ language, code, job }: Program): object {
    const files = [...SHARED_FILES, ...((job['files'] as object[] | undefined) ?? [])]
    const args = ((job['args'] as string[] | undefined) ?? []).map((arg) => host.words[arg] ?? arg)
    const stdin = job['stdin'] === '$LARGE' ? 'x'.repeat(LARGE) : job['stdin']
    return { language, code, ...job, files, args, stdin, limits: { ...LIMITS, ...job.limits } }
  }

  function inSlot(id: string, message: object): Promise<Ended> {
    const end = runInSlot(`${id}-${crypto.randomUUID().slice(0, 8)}`, { limits: LIMITS, ...message })
    // It is asked for later.
    end.catch(() => undefined)
    return end
  }

  async function runInSlot(id: string, message: object): Promise<Ended> {
    const slot = await slots.acquire(new AbortController().signal)
    try {
      const before = await host.look()
      const { outcome, ...first } = await runMetered({ id, ...message })
      let { stallMs } = first
      for (let run = 2; stallMs >= STALL_MS && run <= STALLED_RUNS; run += 1) {
        stallMs = (await runMetered({ id: `${id}-${run}`, ...message })).stallMs
      }
      stalls.push(stallMs)
      if (/longer than/.test(outcome.errorMessage ?? ''))
        late.push((outcome.wallMs ?? 0) - (outcome.limits?.['wall_time_ms'] ?? 0))
      if (outcome.status !== 'rejected') seen.push(await witness.count(id))
      return { outcome, left: await witness.leftovers(id), host: [before, await host.look()], stallMs }
    } finally {
      slots.release(slot)
    }
  }

  async function runMetered(message: object): Promise<Pick<Ended, 'outcome' | 'stallMs'>> {
    const since = performance.now()
    const outcome = await runAlone(sandbox, message)
    return { outcome, stallMs: meter.longestSince(since) }
  }

  test.each(programs.map((each) => [each.name, each.expected] as const))(
    '%s',
    { timeout: TIMEOUT_MS },
    async (name, expected) => {
      const ended = await ends.get(name)
      if (ended === undefined) throw new Error('It was not run')
      expect(view(ended.outcome, expected)).toEqual(wanted(expected, ended.outcome))
      expectSound(ended.outcome)
      expectHarmless(ended)
    },
  )

  test('would get further without walls', { timeout: TIMEOUT_MS }, async () => {
    const found = await Promise.all(
      programs
        .filter((program) => program.outside !== undefined)
        .map(async ({ name, code, outside = '' }) => [
          name,
          (await runOutside(sandbox, code)).includes(outside),
        ]),
    )
    expect(found.length).toBeGreaterThan(5)
    expect(found.filter(([, isSeen]) => isSeen !== true)).toEqual([])
  })

  test('does not keep honest ones from their work', { timeout: TIMEOUT_MS }, async () => {
    const ended = await Promise.all(honest)
    expect(ended.length).toBeGreaterThan(0)
    const expected = await runAlone(sandbox, { code: HONEST, limits: LIMITS })
    for (const each of ended) {
      const { outcome } = each
      expectHarmless(each)
      expect(outcome).toMatchObject({ status: 'success', exitCode: 0 })
      expect(textOf(outcome.stdout)).toBe(textOf(expected.stdout))
    }
    const cpuMs = ended.map(({ outcome }) => cpuOf(outcome))
    process.stderr.write(
      `hostile: honest CPU alone ${shown(aloneMs)} ms, among them ${cpuMs.map(shown).join(' ')} ms; ` +
        `killed ${late.length} for their wall time, late by ${shown(median(late))} ms (median), ${shown(Math.max(...late))} ms (most); ` +
        `longest stall ${shown(Math.max(...stalls))} ms\n`,
    )
    expect(median(cpuMs)).toBeLessThan(CPU_SHARE * aloneMs + CPU_SLACK_MS)
  })

  test('leaves its neighbour and the host in peace', { timeout: TIMEOUT_MS }, async () => {
    await Promise.allSettled([...ends.values(), ...honest])
    moved.abort()
    const outcome = await neighbourEnd
    expect(outcome.status).toBe('canceled')
    expect(textOf(outcome.stdout)).toBe('ready\n')
    expect(host.visits()).toBe(0)
    // Else it means nothing that nothing was left.
    expect(seen.filter((count) => count > 0).length).toBeGreaterThan(0.9 * seen.length)
    await sandbox.close()
    expect(await witness.allLeftovers()).toEqual([])
  })
})

async function runAlone(
  { engine: services }: Sandbox,
  fields: object,
  options: { cancel?: AbortSignal; onOutput?: () => void } = {},
): Promise<CodeExecOutcome> {
  const body = { id: crypto.randomUUID(), language: 'python', ...fields }
  const message = parseCodeExecMessage(JSON.stringify(body))
  if ('problem' in message) return rejected(message.problem)
  return await runCodeExec(message.request, services, {
    signal: new AbortController().signal,
    log,
    ...options,
  })
}

/** Puts files where it is, and becomes one of them. */
const LOADER =
  'import json, os, sys; os.chdir("/tmp"); sys.path.insert(0, "/tmp"); files = json.load(sys.stdin)\n' +
  'for name, text in files.items(): open(name, "w").write(text)\n' +
  'exec(compile(files["main.py"], "main.py", "exec"), {"__name__": "__main__"})'

/** What a program prints in an ordinary container: what finds no hole there would find none in a wall. */
async function runOutside({ engine: { executor } }: Sandbox, code: string): Promise<string> {
  const spec = { name: `outside-${crypto.randomUUID()}`, kind: 'test', image: IMAGE, keep: false }
  const command = ['python3', '-c', LOADER]
  const signal = new AbortController().signal
  await using task = await executor.start({ ...spec, command, environment: {}, limits: {} }, signal)
  const files = [...SHARED_FILES, { path: 'main.py', content: code }]
  await task.send(
    Buffer.from(JSON.stringify(Object.fromEntries(files.map((each) => [each.path, each.content])))),
  )
  const { stdout, stderr } = await end(task)
  return stdout + stderr
}

/** What the runner says is not looked at here. */
const log = createLogger(() => undefined)

/** What must be left of it, and what others must notice: nothing. */
function expectHarmless({ left, host: [before, after], stallMs }: Ended): void {
  expect(left).toEqual([])
  expect(after).toBe(before)
  expect(stallMs).toBeLessThan(STALL_MS)
}

/** Where nobody counts it, what it took to run it must do. */
function cpuOf({ cpuMs, wallMs }: CodeExecOutcome): number {
  return cpuMs ?? wallMs ?? 0
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}

function shown(ms: number): string {
  return ms.toFixed(0)
}
