import { readFile } from 'node:fs/promises'
import { currentProcessId, processState, type ProcessState } from '../../core/process-id.ts'
import type { Engine } from './api/engine.ts'
import { EngineError } from './api/errors.ts'
import { ownContainer, type OwnContainer } from './host/own-container.ts'

/**
 * Who started a container, as its label says it: `process:<process id>`, or when the runner itself is in a container
 * `container:<its id>:<digits of its start time>:<process id>`, since a container that is started again keeps its id.
 */
export type OwnerId = string

/** Whether an owner lives. `unknown` = it can't be judged from here, e.g. it is on another host. */
export type OwnerState = ProcessState

/** The owner id of this process. Throws only when the engine can't be asked. */
export async function currentOwner(engine: Engine): Promise<OwnerId> {
  const process = await currentProcessId()
  // No /proc, so no Linux: nobody can judge it, and its containers go when they are too old.
  if (process === undefined) return `unknown:${crypto.randomUUID()}`
  const container = await ownContainer(engine)
  if (container === undefined) return `process:${process}`
  return `container:${container.Id}:${digitsOf(container.State.StartedAt)}:${process}`
}

/** Judges another's owner id. Throws only when the engine can't be asked. */
export async function ownerState(owner: OwnerId, engine: Engine): Promise<OwnerState> {
  const [form, ...parts] = owner.split(':')
  if (form === 'process') return await processState(parts.join(':'))
  const [id, startedAt, ...process] = parts
  if (form !== 'container' || id === undefined) return 'unknown'
  // From within the same container, and the same run of it, each of its processes can be told from the others.
  const state = await processState(process.join(':'))
  return state === 'unknown' ? await containerState(id, startedAt, engine) : state
}

/** Wall clock of this machine's start in Unix seconds; undefined where there is no /proc. */
export async function bootTimeSeconds(): Promise<number | undefined> {
  const text = await readFile('/proc/stat', 'utf8').catch(() => '')
  const seconds = /^btime (\d+)$/m.exec(text)?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}

/** Undefined `startedAt` = any run of it will do: earlier versions did not tell. */
async function containerState(
  id: string,
  startedAt: string | undefined,
  engine: Engine,
): Promise<OwnerState> {
  try {
    const answer = await engine.json('GET', `/containers/${encodeURIComponent(id)}/json`)
    const { Running, StartedAt } = (answer as Pick<OwnContainer, 'State'>).State
    return Running && (startedAt ?? digitsOf(StartedAt)) === digitsOf(StartedAt) ? 'alive' : 'dead'
  } catch (error) {
    if (error instanceof EngineError && error.isByEngine && error.status === 404) return 'dead'
    throw error
  }
}

/** Colons part the fields of an owner's id. */
function digitsOf(date = ''): string {
  return date.replaceAll(/\D/g, '')
}
