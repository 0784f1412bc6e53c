import type { Clock } from '../../core/clock.ts'
import type { Executor, TaskLimits } from '../../executors/executor.ts'
import type { Files, RemoteRequest } from '../../files/files.ts'
import type { FolderUser } from '../left-folder.ts'
import type { Hardware, OutputType } from './job-specs.ts'

/** What one slot offers, and what its jobs may use. */
export interface Place {
  /** As it is announced. */
  offer: {
    cpuCores: number
    memoryMib: number
    gpuModel?: string
    gpuMemoryMib?: number
    gpuArchitecture?: string
  }
  /** UUIDs of the GPUs that its jobs get. */
  gpus: readonly string[]
}

/** What the API is told of a job, and asked for it. LeaseLostError once the job is not ours any more. */
export interface JobSession {
  enter(status: 'preprocessing' | 'running' | 'postprocessing', signal: AbortSignal): Promise<void>
  finish(status: 'finished' | 'error', details: string, signal: AbortSignal): Promise<void>
  /** What is told should the job be given up. */
  why: string
  downloadRequest(fileId: string, signal: AbortSignal): Promise<RemoteRequest>
  uploadRequest(type: OutputType, folder: string, signal: AbortSignal): Promise<RemoteRequest>
}

/** A job that this process has. */
export interface OpenJob {
  session: JobSession
  place: Place
  /** Its place is free for the next. */
  leave(): void
}

/** What the kind works with; composed in app/fetcher.ts, or of fakes in tests. */
export interface FetcherServices {
  executor: Executor
  files: Files
  /** Throws for a job that this process does not have. */
  jobOf(id: string): OpenJob
  clock: Clock
  settings: FetcherSettings
}

export interface FetcherSettings {
  /** Where the folders of jobs are for this process. */
  pathBase: string
  /** From the start of the program to the kill. */
  timeoutSeconds: number
  /** Between SIGTERM and SIGKILL. */
  stopGraceSeconds: number
  /** Keep containers (`rm: false`). */
  keep: boolean
  /** Beside those of the place. */
  limits: TaskLimits
  user: FolderUser
}

/** What a place lacks of what a job needs, in words; undefined = it fits. */
export function lackingFor(
  { cpuCores, memoryMib, gpuModel, gpuMemoryMib }: Hardware,
  { offer, gpus }: Place,
): string | undefined {
  const lacks: string[] = []
  if (cpuCores !== undefined && cpuCores > offer.cpuCores)
    lacks.push(`${cpuCores} CPU cores (there are ${offer.cpuCores})`)
  if (memoryMib !== undefined && memoryMib > offer.memoryMib)
    lacks.push(`${memoryMib} MiB of memory (there are ${offer.memoryMib})`)
  if ((gpuModel !== undefined || (gpuMemoryMib ?? 0) > 0) && gpus.length === 0)
    lacks.push('a GPU (there is none)')
  else if (gpuMemoryMib !== undefined && gpuMemoryMib > (offer.gpuMemoryMib ?? 0))
    lacks.push(`${gpuMemoryMib} MiB of GPU memory (there are ${offer.gpuMemoryMib ?? 'none'})`)
  return lacks.length === 0 ? undefined : lacks.join(', ')
}
