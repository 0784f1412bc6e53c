import type { Internet } from '../../executors/executor.ts'
import type { Language } from './languages.ts'

/** The walls of a job that have a size. */
export interface Limits {
  /** From the delivery of the code to the kill. */
  wallTimeMs: number
  /** Of all processes together. */
  cpuTimeMs: number
  memoryBytes: number
  pids: number
  /** Of stdout and stderr together. */
  outputBytes: number
  /** Largest file that it may write. */
  fileSizeBytes: number
  /** Of the working folder; as much again of /tmp. */
  diskBytes: number
  openFiles: number
  cpus: number
}

/** What the config says about code-exec jobs. */
export interface CodeExecSettings {
  /** Those that the config adds or changes are merged in by `mergeLanguages`. */
  languages: Readonly<Record<string, Language>>
  /** Whether a job may name an image: true, false, or patterns of images in which `*` stands for anything. */
  allowImages: boolean | readonly string[]
  allowInternet: boolean
  internet: Partial<Pick<Internet, 'image'>> & Pick<Internet, 'dns'>
  /** Of a job that asks for nothing else. */
  limits: Limits
  /** Most that a job may ask for. */
  maxLimits: Limits
  /** Of all inputs of a job together. */
  maxFileBytes: number
  /** OCI runtime. */
  runtime?: string
  /** Keep containers (`rm: false`). */
  keep: boolean
}

/** Of a config that says nothing. */
export const DEFAULT_LIMITS: Limits = {
  wallTimeMs: 10_000,
  cpuTimeMs: 10_000,
  memoryBytes: 256 * 1024 ** 2,
  pids: 64,
  outputBytes: 128 * 1024,
  fileSizeBytes: 16 * 1024 ** 2,
  diskBytes: 64 * 1024 ** 2,
  openFiles: 256,
  cpus: 1,
}

/** Below these an engine can't start any container, which would look like a fault of its own. */
export const LEAST_LIMITS: Partial<Limits> = { memoryBytes: 6 * 1024 ** 2, openFiles: 16, cpus: 0.01 }

/** Limits as messages and the config spell them. */
export const LIMIT_NAMES = {
  wall_time_ms: 'wallTimeMs',
  cpu_time_ms: 'cpuTimeMs',
  memory_bytes: 'memoryBytes',
  pids: 'pids',
  output_bytes: 'outputBytes',
  file_size_bytes: 'fileSizeBytes',
  disk_bytes: 'diskBytes',
  open_files: 'openFiles',
  cpus: 'cpus',
} as const satisfies Record<string, keyof Limits>
