import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { LABELS } from './container.ts'
import type { Engine } from './engine.ts'
import { bootTimeSeconds, ownerState, type OwnerId, type OwnerState } from './owner.ts'
import type { Removals } from './removals.ts'

export interface ReapOptions {
  engine: Engine
  removals: Removals
  owner: OwnerId
  clock: Clock
  log: Logger
  signal: AbortSignal
}

/** How long a container outlives its age limit before it counts as dead when its owner can't be judged. */
const GRACE_SECONDS = 24 * 3600

/**
 * Removes the labelled containers whose owner is dead: never a living runner's, a kept one, or one without our label.
 * Says how many.
 */
export async function reap({ engine, removals, owner, clock, log, signal }: ReapOptions): Promise<number> {
  let removed = 0
  for (const { container, owner: theirs, isLeft } of await ownedContainers(engine, clock, signal, owner)) {
    signal.throwIfAborted()
    if (!isLeft || container.Labels[LABELS.keep] === 'true') continue
    try {
      if (!(await removals.removeNow(container.Id))) continue
      removed += 1
      const name = container.Names[0]?.replace(/^\//, '')
      log.warn('Removed a container whose runner is dead', { container: name, owner: theirs })
    } catch (error) {
      log.warn('A container whose runner is dead could not be removed', {
        container: container.Id,
        error: messageOf(error),
      })
    }
  }
  return removed
}

/** A container with our label. */
export interface OwnedContainer {
  container: ListedContainer
  owner: OwnerId
  /** Its owner is dead, or nobody can need it any more whoever it belongs to. */
  isLeft: boolean
}

/** All containers with our label, kept ones among them. `own` is the id of an owner that lives. */
export async function ownedContainers(
  engine: Engine,
  clock: Clock,
  signal: AbortSignal,
  own?: OwnerId,
): Promise<OwnedContainer[]> {
  const query = { all: '1', filters: JSON.stringify({ label: [LABELS.owner] }) }
  const containers = (await engine.json('GET', '/containers/json', { query, signal })) as ListedContainer[]
  const states = new Map<OwnerId, OwnerState>(own === undefined ? [] : [[own, 'alive']])
  const bootedAt = await bootTimeSeconds()
  const now = clock.date().getTime() / 1000
  const found: OwnedContainer[] = []
  for (const container of containers) {
    const owner = container.Labels[LABELS.owner] ?? ''
    if (owner === '') continue
    const state = states.get(owner) ?? (await ownerState(owner, engine))
    states.set(owner, state)
    const isLeft = state === 'dead' || (state === 'unknown' && isAbandoned(container, now, bootedAt))
    found.push({ container, owner, isLeft })
  }
  return found
}

interface ListedContainer {
  Id: string
  /** Of its image. */
  ImageID?: string
  Names: string[]
  Labels: Record<string, string>
  /** created, running, exited … */
  State: string
  /** Unix seconds. */
  Created: number
}

/** Whether nobody can need it any more, whoever it belongs to. */
function isAbandoned(
  { Labels, Created, State }: ListedContainer,
  now: number,
  bootedAt: number | undefined,
): boolean {
  // What a reboot has ended comes back for nobody.
  if (State !== 'running' && bootedAt !== undefined && Created < bootedAt) return true
  const ageLimit = Number(Labels[LABELS.ageLimit] ?? '')
  return now - Created > (Number.isFinite(ageLimit) ? ageLimit : 0) + GRACE_SECONDS
}
