import { RetryableError } from '../../core/errors.ts'
import type { Slots } from '../../core/slots.ts'
import { ImageError, type Task } from '../executor.ts'
import { containerBody, type ContainerSpec, type Ownership } from './container.ts'
import { createContainer, mayComeYet, type Created } from './create.ts'
import type { ControlGroup, ControlGroups } from './walls/control-groups.ts'
import type { Engine } from './api/engine.ts'
import { EngineError, startError } from './api/errors.ts'
import type { Holders, Seat } from './network/holders.ts'
import type { HostsFile } from './network/hosts-file.ts'
import type { Internets } from './network/internet.ts'
import { findImage } from './images/stored-image.ts'
import { DockerTask, type Connections, type TaskServices } from './task.ts'
import { meterOf } from './walls/usage.ts'
import type { WallSetting } from './walls/walls.ts'

export interface StartServices extends TaskServices {
  holders: Holders
  internets: Internets
  hosts: HostsFile
  groups: ControlGroups
  /** Places for starts that are under way: more of them than the engine has processors would only hinder each other. */
  starts: Slots
  ownership: Ownership
  /** For containers whose limits name none. */
  platform: string | undefined
}

type OnPhase = (phase: 'create' | 'start') => void

/** Longest time without an answer while a container is made or started. */
const START_SILENCE_MS = 300_000

/** Creates a container, attaches to it, starts it. When that fails nothing is left behind. */
export async function startTask(
  services: StartServices,
  spec: ContainerSpec,
  signal: AbortSignal,
  onPhase: OnPhase,
): Promise<Task> {
  const { starts, holders, host, removals } = services
  await removals.room(signal)
  const isCrowded = starts.freeCount === 0
  const place = await starts.acquire(signal)
  try {
    const task = await startWhereItGoes(services, spec, { isCrowded, onPhase }, signal)
    // Behind the job's back: it is the next ones that gain by it.
    holders.refill()
    host.learn(task.id).catch(() => undefined)
    return task
  } finally {
    starts.release(place)
  }
}

/** Takes a way round what only makes a start quicker or a container more comfortable, when the engine refuses that. */
async function startWhereItGoes(
  services: StartServices,
  spec: ContainerSpec,
  { isCrowded, onPhase }: { isCrowded: boolean; onPhase: OnPhase },
  signal: AbortSignal,
): Promise<Task> {
  const { holders, internets, hosts, log } = services
  const internet = spec.walls?.internet
  let seat = await (internet === undefined
    ? holders.seat(spec, isCrowded, signal)
    : internets.seat(internet, signal))
  for (;;) {
    const hostsFile = spec.limits.network === 'none' ? await hosts.path(spec) : undefined
    const attempt = { isLeft: false }
    try {
      return await startOnce(services, spec, { seat, hostsFile, attempt }, signal, onPhase)
    } catch (error) {
      const refusal = causeOf(error)
      // Without a refusal there is no second try, nor while a container has the name, or may get it.
      if (attempt.isLeft || refusal === undefined || mayComeYet(refusal, spec.name)) {
        seat.leave(!attempt.isLeft)
        throw error
      }
      if (hostsFile !== undefined && refusal.message.includes(hostsFile)) {
        hosts.giveUp()
        log.debug('The engine does not see our files: containers without network get an empty /etc/hosts')
        continue
      }
      const { holder } = seat
      const isGone = holder !== undefined && (refusal.message.includes(holder.id) || !holder.isAlive())
      seat.leave(!isGone)
      if (isGone && internet !== undefined) {
        throw new RetryableError('engine', "The job's network was gone before it started", { cause: error })
      }
      if (!isGone) throw error
      log.debug('A network that was set up ahead is gone; the container gets one of its own')
      seat = holders.ownSeat(spec)
    }
  }
}

function causeOf(error: unknown): EngineError | undefined {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof EngineError ? cause : undefined
}

async function startOnce(
  services: StartServices,
  spec: ContainerSpec,
  surroundings: Surroundings,
  parent: AbortSignal,
  onPhase: OnPhase,
): Promise<Task> {
  const { walls } = spec
  if (walls === undefined) return await startSet(services, spec, surroundings, parent, onPhase)
  const setting = await wallSetting(services, spec, parent)
  try {
    return await startSet(services, spec, { ...surroundings, ...setting }, parent, onPhase)
  } catch (error) {
    setting.group?.close()
    throw error
  }
}

/** What a container gets from its surroundings. */
interface Surroundings {
  seat: Seat
  hostsFile: string | undefined
  /** `isLeft` is set when the container could not be removed after its start had failed: it may run. */
  attempt: { isLeft: boolean }
  walls?: WallSetting
  /** What counts for it; undefined = nobody does, or it is looked at. */
  group?: ControlGroup | undefined
}

async function wallSetting(
  { engine, groups }: StartServices,
  { image }: ContainerSpec,
  signal: AbortSignal,
): Promise<Required<Pick<Surroundings, 'walls' | 'group'>>> {
  const [found, group] = await Promise.all([findImage(engine, image, signal), groups.open()])
  if (found === undefined) throw new ImageError('not_found', `Image ${image} is not there any more`)
  // By its id: what bears the name may be another one in a moment, with other volumes.
  return { walls: { image: found.id, volumes: found.volumes, cgroupParent: group?.parent }, group }
}

async function startSet(
  services: StartServices,
  spec: ContainerSpec,
  { seat, hostsFile, attempt, walls, group }: Surroundings,
  parent: AbortSignal,
  onPhase: OnPhase,
): Promise<Task> {
  const { engine, removals, clock } = services
  onPhase('create')
  const createdAt = clock.date()
  const networkMode = seat.holder === undefined ? 'default' : `container:${seat.holder.id}`
  const body = containerBody(spec, services.ownership, { networkMode, hostsFile, walls })
  const id = await create(services, spec, body, parent)
  // The caller's signal is for the start only: what is opened here lives longer.
  const starting = new AbortController()
  const cancel = (): void => {
    starting.abort(parent.reason)
  }
  parent.addEventListener('abort', cancel, { once: true })
  if (parent.aborted) cancel()
  try {
    const connections = await connect(engine, id, starting.signal)
    try {
      onPhase('start')
      await start(engine, id, spec.image, starting.signal)
      const meter = walls && meterOf(services, id, group)
      return new DockerTask(services, { spec, id, createdAt, seat, connections, meter })
    } catch (error) {
      const { input, output, exit } = connections
      for (const connection of [output, input, exit]) connection.destroy()
      throw error
    }
  } catch (error) {
    attempt.isLeft = !(await removals.remove(id))
    parent.throwIfAborted()
    throw error
  } finally {
    parent.removeEventListener('abort', cancel)
  }
}

/** The id of a new container. */
async function create(
  services: StartServices,
  { name, image, limits, walls }: ContainerSpec,
  body: object,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted()
  const platform = limits.platform ?? services.platform
  let created: Created
  try {
    created = await createContainer(services, { name, body, platform, silenceMs: START_SILENCE_MS })
  } catch (error) {
    throw startError(error, image)
  }
  const { id, warnings } = created
  const gap = walls && warnings.find((warning) => /discarded/i.test(warning))
  if (gap === undefined) return id
  await services.removals.remove(id)
  throw new RetryableError('engine', `The engine can't keep a task within its limits: ${gap}`)
}

const STREAM_OUTPUT = { stream: '1', stdout: '1', stderr: '1' }
const STREAM_INPUT = { stream: '1', stdin: '1' }

/** What must be open before the start, all at the same time. When one of them fails none is left. */
async function connect(engine: Engine, id: string, signal: AbortSignal): Promise<Connections> {
  const opened: { destroy(): unknown }[] = []
  async function keep<T extends { destroy(): unknown }>(opening: Promise<T>): Promise<T> {
    const connection = await opening
    opened.push(connection)
    return connection
  }
  const path = `/containers/${id}`
  const all = [
    // Two connections: when a program ends without reading its input, the broken one must not take output along.
    keep(engine.hijack(`${path}/attach`, { query: STREAM_OUTPUT, signal })),
    keep(engine.hijack(`${path}/attach`, { query: STREAM_INPUT, signal })),
    // Its headers come when the engine has noted that we wait; only then can no end be missed.
    keep(engine.open('POST', `${path}/wait`, { query: { condition: 'next-exit' }, silenceMs: 0, signal })),
  ] as const
  const settled = await Promise.allSettled(all)
  if (settled.some(({ status }) => status === 'rejected')) {
    for (const connection of opened) connection.destroy()
  }
  const [output, input, exit] = await Promise.all(all)
  return { output, input, exit }
}

async function start(engine: Engine, id: string, image: string, signal: AbortSignal): Promise<void> {
  try {
    await engine.json('POST', `/containers/${id}/start`, { signal, silenceMs: START_SILENCE_MS })
  } catch (error) {
    throw startError(error, image)
  }
}
