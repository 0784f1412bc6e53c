import { randomBytes } from 'node:crypto'
import { JobError, RetryableError } from '../../../core/errors.ts'
import type { Task, TaskLimits, Workdir, WorkdirSpec } from '../../executor.ts'
import type { ContainerSpec } from '../container.ts'
import { SECCOMP_PROFILE } from './seccomp.ts'

/** Longest time that is spent waiting for the archive, all waits together: whoever reads it may take his time. */
const WAIT_MS = 120_000
/** A header, names beyond it and padding take no more for one file. */
const BYTES_PER_FILE = 16 * 1024
const MIB = 1024 ** 2
const BLOCK = 512
const NOT_FOUND = 127

const LIMITS: TaskLimits = {
  cpus: 1,
  memoryBytes: 256 * MIB,
  pids: 16,
  shmBytes: MIB,
  ulimits: { nofile: 64, core: 0 },
}

export interface ArchiveOptions {
  /** Has `tar`. */
  image: string
  /** Added to those that every archive has. */
  limits: TaskLimits
  start: (spec: ContainerSpec, signal: AbortSignal) => Promise<Task>
}

/**
 * What is in a working folder, read by the `tar` of an image that looks at it read-only, within walls. Never by the
 * engine's own archives: those follow what a hostile program has put there, as root.
 */
export async function* archiveOf(
  workdir: Workdir,
  { image, limits, start }: ArchiveOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  await using task = await start(specOf(workdir, image, limits), signal)
  const output = task.output()[Symbol.asyncIterator]()
  const most = mostBytes(workdir.spec)
  const end = new ArchiveEnd()
  let bytes = 0
  let leftMs = WAIT_MS
  for (;;) {
    const asked = performance.now()
    const next = await inTime(output.next(), leftMs, signal)
    leftMs -= performance.now() - asked
    if (next === 'late') throw failed('reading its working folder took too long')
    if (next.done === true) break
    const { stream, data } = next.value
    if (stream === 'stderr') continue
    bytes += data.length
    // Files with holes are larger than the memory that they take.
    if (bytes > most) throw failed('the files in its working folder are larger than the folder may be')
    end.add(data)
    yield data
  }
  const exit = await inTime(task.wait(), leftMs, signal)
  if (exit === 'late') throw new RetryableError('engine', `Nobody tells how container ${task.name} ended`)
  const { exitCode } = exit
  // A file that may not be read is missing in an archive that is whole all the same.
  if (end.isThere) return
  throw failed(exitCode === NOT_FOUND ? `image ${image} has no tar` : `tar ended with exit code ${exitCode}`)
}

function specOf(workdir: Workdir, image: string, limits: TaskLimits): ContainerSpec {
  return {
    name: `archive-${randomBytes(8).toString('hex')}`,
    kind: 'archive',
    image,
    entrypoint: ['tar'],
    command: ['-C', workdir.spec.path, '-c', '-f', '-', '.'],
    // What an image sets is not meant for this.
    environment: { TAR_OPTIONS: '', LC_ALL: 'C' },
    limits: { ...LIMITS, ...limits },
    walls: { seccomp: SECCOMP_PROFILE, workdir },
    isWorkdirReadOnly: true,
    keep: false,
  }
}

function mostBytes({ bytes, inodes }: WorkdirSpec): number {
  return bytes + (inodes + 1) * BYTES_PER_FILE + MIB
}

async function inTime<T>(work: Promise<T>, ms: number, signal: AbortSignal): Promise<T | 'late'> {
  signal.throwIfAborted()
  let stop: () => void = () => undefined
  const over = new Promise<'late'>((resolve, reject) => {
    const timer = setTimeout(resolve, ms, 'late')
    const abort = (): void => {
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', abort, { once: true })
    stop = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    }
  })
  // Whatever it comes to when nobody waits for it any more.
  work.catch(() => undefined)
  try {
    return await Promise.race([work, over])
  } finally {
    stop()
  }
}

/** Whether what has flown by ends as an archive does: with two blocks of zeros. */
class ArchiveEnd {
  #zeros = 0

  add(data: Uint8Array): void {
    const from = Math.max(0, data.length - 2 * BLOCK)
    const last = data.subarray(from).findLastIndex((byte) => byte !== 0)
    this.#zeros = last >= 0 ? data.length - from - 1 - last : this.#zeros + data.length
  }

  get isThere(): boolean {
    return this.#zeros >= 2 * BLOCK
  }
}

function failed(why: string): JobError {
  return new JobError('no_result', `The artifacts of the job can't be read: ${why}`)
}
