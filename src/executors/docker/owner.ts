import { readFile } from 'node:fs/promises'
import { currentProcessId, processState, type ProcessState } from '../../core/process-id.ts'
import type { Engine } from './api/engine.ts'
import { EngineError } from './api/errors.ts'
import { ownContainer } from './host/own-container.ts'

/**
 * Who started a container, as its label says it:
 * `process:<boot id>:<pid namespace>:<pid>:<start time>`, or `container:<id>` when the runner itself is in one.
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
  return container === undefined ? `process:${process}` : `container:${container.Id}`
}

/** Judges another's owner id. Throws only when the engine can't be asked. */
export async function ownerState(owner: OwnerId, engine: Engine): Promise<OwnerState> {
  const [form, ...parts] = owner.split(':')
  if (form === 'container' && parts[0] !== undefined) return await containerState(parts[0], engine)
  return form === 'process' ? await processState(parts.join(':')) : 'unknown'
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
