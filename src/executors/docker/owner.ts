import { readFile, readlink, stat } from 'node:fs/promises'
import type { Engine } from './engine.ts'
import { EngineError } from './errors.ts'

/**
 * Who started a container, as its label says it:
 * `process:<boot id>:<pid namespace>:<pid>:<start time>`, or `container:<id>` when the runner itself is in one.
 */
export type OwnerId = string

/** Whether an owner lives. `unknown` = it can't be judged from here, e.g. it is on another host. */
export type OwnerState = 'alive' | 'dead' | 'unknown'

/** The owner id of this process. Throws only when the engine can't be asked. */
export async function currentOwner(engine: Engine): Promise<OwnerId> {
  const process = await processOwner().catch(() => undefined)
  // No /proc, so no Linux: nobody can judge it, and its containers go when they are too old.
  if (process === undefined) return `unknown:${crypto.randomUUID()}`
  const container = await ownContainer(engine)
  return container === undefined ? process : `container:${container}`
}

async function processOwner(): Promise<OwnerId> {
  const { pid, startTime } = parseStat(await readFile('/proc/self/stat', 'utf8'))
  return `process:${await bootId()}:${await pidNamespace()}:${pid}:${startTime}`
}

/** Judges another's owner id. Throws only when the engine can't be asked. */
export async function ownerState(owner: OwnerId, engine: Engine): Promise<OwnerState> {
  const [form, ...parts] = owner.split(':')
  if (form === 'container' && parts[0] !== undefined) return await containerState(parts[0], engine)
  if (form !== 'process') return 'unknown'
  const [boot, namespace, pid, startTime] = parts
  try {
    // Another boot id may be another host as well as an earlier boot of this one.
    if (boot !== (await bootId()) || namespace !== (await pidNamespace())) return 'unknown'
    // Where /proc hides other users' processes, a missing one proves nothing.
    await stat('/proc/1')
  } catch {
    return 'unknown'
  }
  try {
    const seen = parseStat(await readFile(`/proc/${String(pid)}/stat`, 'utf8'))
    return seen.startTime === startTime && !'ZXx'.includes(seen.state) ? 'alive' : 'dead'
  } catch {
    return 'dead'
  }
}

/** Wall clock of this machine's start in Unix seconds; undefined where there is no /proc. */
export async function bootTimeSeconds(): Promise<number | undefined> {
  const text = await readFile('/proc/stat', 'utf8').catch(() => '')
  const seconds = /^btime (\d+)$/m.exec(text)?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}

async function containerState(id: string, engine: Engine): Promise<OwnerState> {
  try {
    const answer = await engine.json('GET', `/containers/${encodeURIComponent(id)}/json`)
    return (answer as { State: { Running: boolean } }).State.Running ? 'alive' : 'dead'
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return 'dead'
    throw error
  }
}

/** The id of the container that this process is in, as far as this very engine runs it. */
async function ownContainer(engine: Engine): Promise<string | undefined> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  // The engine mounts its own /etc/hostname from a folder that bears the container's id.
  const id = /[/-]containers\/([0-9a-f]{64})\/[^ ]* \/etc\/(?:hostname|hosts|resolv\.conf) /.exec(mounts)?.[1]
  return id !== undefined && (await containerState(id, engine)) === 'alive' ? id : undefined
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}

/** Process ids mean something only inside their namespace. */
async function pidNamespace(): Promise<string> {
  return /\d+/.exec(await readlink('/proc/self/ns/pid'))?.[0] ?? ''
}

/** Takes apart /proc/PID/stat; the name in its second field may hold blanks and brackets. */
function parseStat(text: string): { pid: string; state: string; startTime: string } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { pid: text.slice(0, text.indexOf(' ')), state: fields[0] ?? '', startTime: fields[19] ?? '' }
}
