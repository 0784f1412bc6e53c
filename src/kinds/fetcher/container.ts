import type { JobContext } from '../../core/kind.ts'
import type { ImageInfo, TaskExit, TaskSpec } from '../../executors/executor.ts'
import { Tail } from '../../executors/output.ts'
import { taskName } from '../../executors/run-task.ts'
import { supervise } from '../../executors/supervise.ts'
import { ownFolder as ownLeftFolder } from '../left-folder.ts'
import type { FetcherJob } from './job-specs.ts'
import type { FetcherServices, Place } from './services.ts'

/** Where a job finds its folder. */
const FILES = '/files'
const MIB = 1024 ** 2
/** Enough for the last 1000 characters, whatever their bytes. */
const TAIL_BYTES = 8 * 1024
/** What one string may hold that is a program and no line of a shell. */
const PLAIN_WORD = /^[\w./:=@%+,-]+$/

/** How a job's program ended. */
export interface Ended extends TaskExit {
  isTimeout: boolean
  /** The end of all that it has printed. */
  tail: Uint8Array
}

/** A job with what it runs in. */
export interface Runnable {
  id: string
  job: FetcherJob
  image: ImageInfo
  place: Place
  /** As this process sees it. */
  folder: string
}

/** Runs a job's container from its creation to its removal. Throws the signal's reason, and what the executor throws. */
export async function runContainer(
  runnable: Runnable,
  { executor, settings }: FetcherServices,
  { signal, log, timeline }: JobContext,
): Promise<Ended> {
  try {
    await using task = await executor.start(specOf(runnable, settings), signal, (phase) => {
      timeline.enter(phase)
    })
    log.debug('Container started', { container: task.name })
    if (settings.keep) log.info('The container is kept', { container: task.name, logs: task.logsCommand })
    timeline.enter('run')
    timeline.markStarted()
    const tail = new Tail(TAIL_BYTES)
    const bounds = {
      input: new Uint8Array(),
      timeoutMs: settings.timeoutSeconds * 1000,
      stopGraceSeconds: settings.stopGraceSeconds,
    }
    const take = ({ data }: { data: Uint8Array }): void => {
      tail.add(data)
    }
    const { exit, killedFor } = await supervise(task, bounds, take, signal)
    return { ...exit, isTimeout: killedFor === 'timeout', tail: tail.bytes() }
  } finally {
    timeline.leave()
  }
}

/** Makes what is in a job's folder this process's own. */
export async function ownFolder(
  { id, image, folder }: Pick<Runnable, 'id' | 'folder'> & { image: string },
  { executor, settings: { user, limits } }: FetcherServices,
  { log }: Pick<JobContext, 'log'>,
): Promise<void> {
  const name = (): string => taskName('fetcher', `own-${id.slice(0, 40)}`)
  await ownLeftFolder({ folder, image, kind: 'fetcher', name, limits }, user, executor, log)
}

function specOf(
  { id, job, image, place, folder }: Runnable,
  { limits, keep }: FetcherServices['settings'],
): TaskSpec {
  const memoryBytes = place.offer.memoryMib * MIB
  const command = commandOf(job, image)
  return {
    name: taskName('fetcher', id.slice(0, 40)),
    kind: 'fetcher',
    image: job.image,
    ...(job.entrypoint && { entrypoint: job.entrypoint }),
    ...(command && { command }),
    environment: job.environment,
    mounts: [{ source: folder, target: FILES, readOnly: false }],
    ...(place.gpus.length > 0 && { gpus: place.gpus }),
    limits: { shmBytes: Math.floor(memoryBytes / 2), ...limits, cpus: place.offer.cpuCores, memoryBytes },
    isUnique: true,
    keep,
  }
}

/** A line of a shell stays one where nothing else could make anything of it. */
export function commandOf(
  { command, entrypoint }: Pick<FetcherJob, 'command' | 'entrypoint'>,
  image: Pick<ImageInfo, 'entrypoint'>,
): readonly string[] | undefined {
  const [line = '', ...others] = command ?? []
  const isBare = entrypoint === undefined && (image.entrypoint ?? []).length === 0
  return isBare && others.length === 0 && line !== '' && !PLAIN_WORD.test(line)
    ? ['/bin/sh', '-c', line]
    : command
}
