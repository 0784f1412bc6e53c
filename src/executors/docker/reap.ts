import type { Clock } from '../../core/clock.ts'
import { messageOf } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import { LABELS } from './container.ts'
import type { ControlGroups } from './walls/control-groups.ts'
import type { Engine } from './api/engine.ts'
import { EngineError } from './api/errors.ts'
import { bootTimeSeconds, ownerState, type OwnerId, type OwnerState } from './owner.ts'
import type { Removals } from './removals.ts'

export interface ReapOptions {
  engine: Engine
  removals: Removals
  groups: ControlGroups
  owner: OwnerId
  clock: Clock
  log: Logger
  signal: AbortSignal
}

/** How long a container outlives its age limit before it counts as dead when its owner can't be judged. */
const GRACE_SECONDS = 24 * 3600

/**
 * Removes the labelled containers whose owner is dead: never a living runner's, a kept one, or one without our label.
 * Their volumes and control groups go too. Says how many containers.
 */
export async function reap(options: ReapOptions): Promise<number> {
  const { engine, removals, groups, owner, clock, log, signal } = options
  const judge = await createJudge(engine, clock, owner)
  let removed = 0
  for (const { container, owner: theirs, isLeft } of await listContainers(engine, judge, signal)) {
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
  for (const { name, isLeft } of await listVolumes(engine, judge, signal)) {
    signal.throwIfAborted()
    if (!isLeft) continue
    const isGone = await removeVolume(removals, name).catch((error: unknown) => {
      log.warn('A volume whose runner is dead could not be removed', {
        volume: name,
        error: messageOf(error),
      })
      return false
    })
    if (isGone) log.debug('Removed a volume whose runner is dead', { volume: name })
  }
  await groups.reap((each) => judge.stateOf(each))
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
  return await listContainers(engine, await createJudge(engine, clock, own), signal)
}

/** A volume with our label. */
export interface OwnedVolume {
  name: string
  labels: Readonly<Record<string, string>>
  /** As of a container. */
  isLeft: boolean
}

/** All volumes with our label. */
export async function ownedVolumes(
  engine: Engine,
  clock: Clock,
  signal: AbortSignal,
): Promise<OwnedVolume[]> {
  return await listVolumes(engine, await createJudge(engine, clock), signal)
}

/** Removes a volume; false when it was not there, or when a container uses it. */
export async function removeVolume(removals: Removals, volume: string): Promise<boolean> {
  try {
    return await removals.removeNow({ volume })
  } catch (error) {
    if (error instanceof EngineError && error.status === 409) return false
    throw error
  }
}

/** Judges owners, each once. */
interface Judge {
  stateOf(owner: OwnerId): Promise<OwnerState>
  isLeft(owner: OwnerId, thing: Judged): Promise<boolean>
}

/** What has our label. */
interface Judged {
  labels: Readonly<Record<string, string>>
  isRunning: boolean
  /** Unix seconds; NaN = unknown. */
  created: number
}

async function createJudge(engine: Engine, clock: Clock, own?: OwnerId): Promise<Judge> {
  const states = new Map<OwnerId, OwnerState>(own === undefined ? [] : [[own, 'alive']])
  const bootedAt = await bootTimeSeconds()
  const now = clock.date().getTime() / 1000
  const stateOf = async (owner: OwnerId): Promise<OwnerState> => {
    const state = states.get(owner) ?? (await ownerState(owner, engine))
    states.set(owner, state)
    return state
  }
  return {
    stateOf,
    isLeft: async (owner, thing) => {
      const state = await stateOf(owner)
      return state === 'dead' || (state === 'unknown' && isAbandoned(thing, now, bootedAt))
    },
  }
}

const OURS = JSON.stringify({ label: [LABELS.owner] })

async function listContainers(engine: Engine, judge: Judge, signal: AbortSignal): Promise<OwnedContainer[]> {
  const query = { all: '1', filters: OURS }
  const containers = (await engine.json('GET', '/containers/json', { query, signal })) as ListedContainer[]
  const found: OwnedContainer[] = []
  for (const container of containers) {
    const { Labels: labels, State: state, Created: created } = container
    const owner = labels[LABELS.owner] ?? ''
    if (owner === '') continue
    const isLeft = await judge.isLeft(owner, { labels, isRunning: state === 'running', created })
    found.push({ container, owner, isLeft })
  }
  return found
}

async function listVolumes(engine: Engine, judge: Judge, signal: AbortSignal): Promise<OwnedVolume[]> {
  const answer = await engine.json('GET', '/volumes', { query: { filters: OURS }, signal })
  const { Volumes: volumes } = answer as { Volumes: ListedVolume[] | null }
  const found: OwnedVolume[] = []
  for (const { Name: name, Labels: labels, CreatedAt: createdAt = '' } of volumes ?? []) {
    const owner = labels?.[LABELS.owner] ?? ''
    if (labels === null || owner === '') continue
    const created = Date.parse(createdAt) / 1000
    // Whether a container of another boot still uses it the engine knows.
    const isLeft = await judge.isLeft(owner, { labels, isRunning: false, created })
    found.push({ name, labels, isLeft })
  }
  return found
}

interface ListedVolume {
  Name: string
  Labels: Record<string, string> | null
  CreatedAt?: string
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
  { labels, created, isRunning }: Judged,
  now: number,
  bootedAt: number | undefined,
): boolean {
  // What a reboot has ended comes back for nobody.
  if (!isRunning && bootedAt !== undefined && created < bootedAt) return true
  const ageLimit = Number(labels[LABELS.ageLimit] ?? '')
  return now - created > (Number.isFinite(ageLimit) ? ageLimit : 0) + GRACE_SECONDS
}
