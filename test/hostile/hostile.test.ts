import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { availableParallelism, hostname, networkInterfaces, tmpdir } from 'node:os'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { Slots } from '../../src/core/slots.ts'
import { runCodeExec } from '../../src/kinds/code-exec/execute.ts'
import { parseCodeExecMessage } from '../../src/kinds/code-exec/message.ts'
import { rejected } from '../../src/kinds/code-exec/outcome.ts'
import type { CodeExecOutcome } from '../../src/records/code-exec.ts'
import { openSandbox, type Sandbox } from '../docker/code-exec/sandbox.ts'
import { requireEngine } from '../support/engine.ts'
import { hasPython } from '../support/images.ts'
import { readPrograms, SHARED_FILES, type Expected, type Program } from './program.ts'
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
/** The machine is full of hostile programs: a kill may be late, but not by so much. */
const LATE_KILL_MS = 5000
const STALL_MS = 100
/** An honest job comes after so many hostile ones. */
const HONEST_EVERY = 8
const CPU_SHARE = 1.2
const CPU_SLACK_MS = 60
const TIMEOUT_MS = 240_000

const HONEST = 'total = 0\nfor n in range(3_000_000): total = (total * 31 + n) % 1_000_003\nprint(total)'
/** More than any pipe holds. */
const LARGE = 500_000
const NEIGHBOUR = 'neighbour'

interface Ended {
  outcome: CodeExecOutcome
  left: string[]
  /** The host, before and after. */
  host: [string, string]
  stallMs: number
}

const programs = readPrograms()

test('the catalogue is complete', () => {
  expect(programs.length).toBeGreaterThanOrEqual(60)
})

describe.skipIf(!isRunnable)('a hostile program', () => {
  let sandbox: Sandbox
  let witness: Witness
  let meter: StallMeter
  let host: Host
  let aloneMs: number
  const neighbour = new AbortController()
  let neighbourEnd: Promise<CodeExecOutcome>
  const slots = new Slots(availableParallelism())
  const ends = new Map<string, Promise<Ended>>()
  const honest: Promise<Ended>[] = []
  const late: number[] = []

  beforeAll(async () => {
    if (engine === undefined) return
    sandbox = await openSandbox(engine)
    witness = Witness.open(engine, sandbox.processName)
    host = await openHost()
    meter = startStallMeter()
    const alone = []
    for (let n = 0; n < 3; n++) alone.push(cpuOf(await runAlone(sandbox, { code: HONEST, limits: LIMITS })))
    aloneMs = median(alone)
    await startNeighbour()
    for (const [index, program] of programs.entries()) {
      if (program.name.startsWith(NEIGHBOUR) || !fits(program)) continue
      ends.set(program.name, inSlot(`h${String(index)}`, messageOf(program)))
      if (index % HONEST_EVERY === HONEST_EVERY - 1)
        honest.push(inSlot(`honest${String(index)}`, { code: HONEST }))
    }
  }, TIMEOUT_MS)

  afterAll(async () => {
    await Promise.allSettled([...ends.values(), ...honest])
    neighbour.abort()
    await neighbourEnd.catch(() => undefined)
    meter.stop()
    witness.close()
    await sandbox.close()
    await host.close()
  }, TIMEOUT_MS)

  /** Somebody else's job, which is to be left in peace. */
  async function startNeighbour(): Promise<void> {
    const program = programs.find(({ name }) => name.startsWith(NEIGHBOUR))
    if (program === undefined) throw new Error('There is no neighbour')
    const limits = { ...LIMITS, wall_time_ms: 600_000 }
    await new Promise<void>((resolve, reject) => {
      neighbourEnd = runAlone(
        sandbox,
        { code: program.code, limits },
        { cancel: neighbour.signal, onOutput: resolve },
      )
      neighbourEnd.catch(reject)
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
      const since = performance.now()
      const outcome = await runAlone(sandbox, { id, ...message })
      const stallMs = meter.longestSince(since)
      if (/longer than/.test(outcome.errorMessage ?? ''))
        late.push((outcome.wallMs ?? 0) - (outcome.limits?.['wall_time_ms'] ?? 0))
      return { outcome, left: await witness.leftovers(id), host: [before, await host.look()], stallMs }
    } finally {
      slots.release(slot)
    }
  }

  test.each(
    programs.filter(({ name }) => !name.startsWith(NEIGHBOUR)).map((each) => [each.name, each] as const),
  )('%s', { timeout: TIMEOUT_MS }, async (name, program) => {
    const end = ends.get(name)
    if (end === undefined) return
    const {
      outcome,
      left,
      host: [before, after],
      stallMs,
    } = await end
    expect(view(outcome, program.expected)).toEqual(wanted(program.expected, outcome))
    expectSound(outcome)
    expect(left).toEqual([])
    expect(after).toBe(before)
    expect(stallMs).toBeLessThan(STALL_MS)
  })

  test('does not keep honest ones from their work', { timeout: TIMEOUT_MS }, async () => {
    const all = await Promise.all(honest)
    expect(all.length).toBeGreaterThan(0)
    const expected = await runAlone(sandbox, { code: HONEST, limits: LIMITS })
    for (const { outcome, left, stallMs } of all) {
      expect(outcome).toMatchObject({ status: 'success', exitCode: 0 })
      expect(textOf(outcome.stdout)).toBe(textOf(expected.stdout))
      expect(left).toEqual([])
      expect(stallMs).toBeLessThan(STALL_MS)
    }
    const cpuMs = all.map(({ outcome }) => cpuOf(outcome))
    process.stderr.write(
      `hostile: honest CPU alone ${shown(aloneMs)} ms, among them ${cpuMs.map(shown).join(' ')} ms; ` +
        `killed ${late.length} for their wall time, late by ${shown(median(late))} ms (median), ${shown(Math.max(...late))} ms (most)\n`,
    )
    expect(median(cpuMs)).toBeLessThan(CPU_SHARE * aloneMs + CPU_SLACK_MS)
  })

  test('leaves its neighbour and the host in peace', { timeout: TIMEOUT_MS }, async () => {
    await Promise.allSettled([...ends.values(), ...honest])
    neighbour.abort()
    const outcome = await neighbourEnd
    expect(outcome.status).toBe('canceled')
    expect(textOf(outcome.stdout)).toBe('ready\n')
    expect(host.visits()).toBe(0)
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

/** What the runner says is not looked at here. */
const log = createLogger(() => undefined)

/** What is compared of an outcome: what the expectation speaks of. */
function view(outcome: CodeExecOutcome, expected: Expected): Record<string, unknown> {
  const [stdout, stderr] = [textOf(outcome.stdout), textOf(outcome.stderr)]
  const all = stdout + stderr
  const of: Record<keyof Expected, unknown> = {
    status: outcome.status,
    exit: outcome.exitCode,
    signal: outcome.signal,
    oom: outcome.oomKilled,
    limit: /longer than/.test(outcome.errorMessage ?? '') ? 'wall' : 'cpu',
    stdout,
    stderr,
    stdoutHex: Buffer.from(outcome.stdout.bytes).toString('hex'),
    prints: expected.prints?.filter((part) => all.includes(part)),
    hides: expected.hides?.filter((part) => !all.includes(part)),
    keptBytes: outcome.stdout.bytes.length + outcome.stderr.bytes.length,
    artifacts: outcome.artifacts.map(({ path }) => path).sort(),
    mostArtifacts: outcome.artifacts.length <= (expected.mostArtifacts ?? 0) && expected.mostArtifacts,
    skipped: expected.skipped?.filter((path) => outcome.artifactsSkipped.some((each) => each.path === path)),
    error: expected.error !== undefined && outcome.errorMessage?.includes(expected.error) && expected.error,
  }
  const keys = Object.keys(expected) as (keyof Expected)[]
  return { ...pick(of, keys), detail: `${all.slice(0, 2000)} ${outcome.errorMessage ?? ''}` }
}

function wanted(expected: Expected, outcome: CodeExecOutcome): Record<string, unknown> {
  const { status } = expected
  const isOne = typeof status !== 'string' && status.includes(outcome.status)
  return {
    ...expected,
    ...(isOne ? { status: outcome.status } : {}),
    detail: expect.anything() as unknown,
  }
}

function pick(object: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, object[key]]))
}

/** What must hold for every outcome, whatever the program. */
function expectSound(outcome: CodeExecOutcome): void {
  const { status, signal, cpuMs, wallMs, memoryPeakBytes, stdout, stderr, limits } = outcome
  expect(signal !== null).toBe(status === 'signaled')
  if (status === 'rejected') return
  expect(cpuMs).not.toBe(0)
  expect(memoryPeakBytes).not.toBe(0)
  expect(stdout.bytes.length + stderr.bytes.length).toBeLessThanOrEqual(limits?.['output_bytes'] ?? 0)
  for (const { bytes, totalBytes } of [stdout, stderr])
    expect(totalBytes).toBeGreaterThanOrEqual(bytes.length)
  const most = (limits?.['wall_time_ms'] ?? 0) + LATE_KILL_MS
  expect(wallMs).toBeLessThan(most)
  for (const { content, sha256 } of outcome.artifacts)
    expect(createHash('sha256').update(content).digest('hex')).toBe(sha256)
}

interface Host {
  /** What arguments of programs stand for. */
  words: Readonly<Record<string, string>>
  /** What no program may change, as one text. */
  look(): Promise<string>
  /** How many connections its listeners have had. */
  visits(): number
  close(): Promise<void>
}

/** Files and listeners on this machine, which nobody within walls may reach. */
async function openHost(): Promise<Host> {
  const folder = await mkdtemp(join(tmpdir(), 'hostile-'))
  const file = join(folder, 'sentinel')
  await writeFile(file, 'secret of the host')
  await mkdir(join(folder, 'empty'), { mode: 0o777 })
  let visits = 0
  const listen = async (where: { port: number; host: string } | { path: string }): Promise<Server> => {
    const server = createServer((socket) => {
      visits += 1
      socket.destroy()
    })
    server.listen(where)
    await once(server, 'listening')
    return server
  }
  const name = `hostile-${crypto.randomUUID()}`
  const servers = [await listen({ port: 0, host: '0.0.0.0' }), await listen({ path: `\0${name}` })]
  const address = servers[0]?.address()
  const port = typeof address === 'object' && address !== null ? String(address.port) : ''
  const addresses = Object.values(networkInterfaces()).flatMap(
    (each) => each?.map((one) => one.address) ?? [],
  )
  return {
    words: { $FOLDER: folder, $PORT: port, $SOCKET: name, $ADDRESSES: addresses.join(',') },
    look: async () => {
      const { mode, mtimeMs } = await stat(file)
      const kernel = await Promise.all(
        ['core_pattern', 'hostname', 'domainname', 'randomize_va_space', 'modprobe'].map((each) =>
          readFile(`/proc/sys/kernel/${each}`, 'utf8').catch(() => ''),
        ),
      )
      const names = await readdir(folder, { recursive: true })
      const clock = Math.round((Date.now() - performance.now() - performance.timeOrigin) / 60_000)
      return JSON.stringify([await readFile(file, 'utf8'), mode, mtimeMs, names, kernel, hostname(), clock])
    },
    visits: () => visits,
    close: async () => {
      for (const server of servers) server.close()
      await delay(0)
      await rm(folder, { recursive: true })
    },
  }
}

function fits({ arch }: Program): boolean {
  return arch === undefined || arch === process.arch
}

function textOf({ bytes }: { bytes: Uint8Array }): string {
  return Buffer.from(bytes).toString()
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
