import { randomBytes } from 'node:crypto'
import { UnfitError } from '../../../core/errors.ts'
import type { Slots } from '../../../core/slots.ts'
import type { Task, TaskLimits, Workdir, WorkdirSpec } from '../../executor.ts'
import { archiveOf } from './archive.ts'
import { labelsOf, type ContainerSpec, type Ownership } from '../container.ts'
import { createContainer } from '../create.ts'
import type { Engine } from '../api/engine.ts'
import { EngineError } from '../api/errors.ts'
import { oncePerEngine } from '../api/once-per-engine.ts'
import { importHolderImage } from '../network/holder-image.ts'
import type { Removals } from '../removals.ts'
import { newVolumeMount } from './walls.ts'

export interface WorkdirServices {
  engine: Engine
  removals: Removals
  ownership: () => Promise<Ownership>
  /** Places for starts that are under way. */
  starts: Slots
  start: (spec: ContainerSpec, signal: AbortSignal) => Promise<Task>
  /** Nothing is left to be removed behind the back of a process that may end at any moment. */
  isFleeting: boolean
}

const KIND = 'workdir'

/** Asked for once: that costs as much as a part of a start. */
const keeperImage = oncePerEngine(importHolderImage)

/**
 * Makes a volume in memory, and a container that does nothing but use it: the engine throws away what is in such a volume
 * when no running container has it.
 */
export async function openWorkdir(
  services: WorkdirServices,
  spec: WorkdirSpec,
  signal: AbortSignal,
): Promise<Workdir> {
  const { engine, removals, starts } = services
  const name = `opthub-runner-${KIND}-${randomBytes(8).toString('hex')}`
  const place = await starts.acquire(signal)
  try {
    await startKeeper(services, name, spec, signal)
  } catch (error) {
    removals.later(name, { volume: name })
    signal.throwIfAborted()
    if (error instanceof EngineError && error.status === 404) keeperImage.forget(engine)
    throw error
  } finally {
    starts.release(place)
  }
  return new DockerWorkdir(services, name, spec)
}

async function startKeeper(
  services: WorkdirServices,
  name: string,
  spec: WorkdirSpec,
  signal: AbortSignal,
): Promise<void> {
  const { engine, ownership } = services
  const image = await keeperImage(engine)
  if (image === undefined)
    throw new UnfitError("Working folders can't be kept on an engine of this processor")
  signal.throwIfAborted()
  const body = keeperBody(image, name, spec, await ownership())
  await createContainer(services, { name, body, volume: name })
  await engine.json('POST', `/containers/${name}/start`, { signal })
}

function keeperBody(image: string, name: string, spec: WorkdirSpec, ownership: Ownership): object {
  const labels = labelsOf(KIND, false, ownership)
  return {
    Image: image,
    User: `${spec.uid}:${spec.uid}`,
    Labels: labels,
    NetworkDisabled: true,
    HostConfig: {
      NetworkMode: 'none',
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      IpcMode: 'private',
      LogConfig: { Type: 'none', Config: {} },
      RestartPolicy: { Name: 'no' },
      Mounts: [{ ...newVolumeMount(spec, labels, name), ReadOnly: true }],
    },
  }
}

/** A volume in memory, and the container that keeps it there. */
export class DockerWorkdir implements Workdir {
  readonly spec: WorkdirSpec
  readonly id: string
  readonly #services: WorkdirServices
  /** How its tasks run: who reads what they have left needs no less of a wall. */
  #sort: Pick<TaskLimits, 'runtime' | 'platform'> = {}
  #isGone = false

  constructor(services: WorkdirServices, id: string, spec: WorkdirSpec) {
    this.#services = services
    this.id = id
    this.spec = spec
  }

  /** To be called for each task that uses it. */
  noteTask({ runtime, platform }: TaskLimits): void {
    this.#sort = {
      ...(runtime === undefined ? {} : { runtime }),
      ...(platform === undefined ? {} : { platform }),
    }
  }

  archive(image: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return archiveOf(this, { image, limits: this.#sort, start: this.#services.start }, signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isGone) return
    this.#isGone = true
    const { removals, isFleeting } = this.#services
    removals.later(this.id, { volume: this.id })
    if (isFleeting) await removals.settle()
  }
}
