import type { Endpoint, TaskLimits } from '../../executors/executor.ts'
import type { FolderUser } from '../left-folder.ts'

/** How a container is asked. */
export const MODES = ['oneshot', 'jsonl', 'server'] as const
export type Mode = (typeof MODES)[number]

/** What a server in a container may speak. */
export const PROTOCOLS = ['openai', 'kserve', 'triton-generate', 'cog', 'raw'] as const
export type ServerProtocol = (typeof PROTOCOLS)[number]

/** Things of a job that have a size. */
export interface Sizes {
  cpus?: number
  memoryBytes?: number
  shmBytes?: number
  gpus?: number
}

/** What the config says about calls of models. */
export interface InferenceSettings {
  /** For messages that name none. */
  image?: string
  mode: Mode
  protocol: ServerProtocol
  /** Whether a message may name an image: true, false, or patterns of images in which `*` stands for anything. */
  allowImages: boolean | readonly string[]
  /** Arguments of the image; left out = its own. */
  args?: readonly string[]
  env: Readonly<Record<string, string>>
  server: {
    port: number
    /** A unix socket in the container, in place of a port. */
    socket?: string
    healthPath?: string
    maxConcurrency: number
  }
  startupTimeoutMs: number
  /** Infinity = for ever. */
  keepAliveMs: number
  /** Of a call that says nothing else. */
  timeoutMs: number
  /** Left out = none, but what a published port needs. */
  network?: 'default' | 'none'
  /** Of a job that asks for nothing else. */
  sizes: Sizes
  /** Most that a job may ask for. */
  maxSizes: Sizes
  /** Walls of every container. */
  limits: TaskLimits
  /** A server that runs already, which answers in place of containers. */
  existing?: ExistingServer
  /** The name of the model, for requests that name none. */
  model?: string
  /** Keep containers (`rm: false`). */
  keep: boolean
  /** Between SIGTERM and SIGKILL. */
  stopGraceSeconds: number
  /** Longest answer. */
  maxOutputBytes: number
  /** Most output of a oneshot container in all. */
  maxTotalOutputBytes: number
  /** Fail a oneshot container whose exit code is not 0, even when its last line fits. */
  strictExit: boolean
  /** Most bytes of files moved for one job. */
  maxFileBytes: number
  user?: FolderUser
}

/** Where a server is that nobody here has started. */
export interface ExistingServer {
  endpoint: Endpoint
  /** Shown in errors. */
  name: string
  protocol: ServerProtocol | 'kserve-grpc'
  basePath?: string
  isTls: boolean
  headers: Readonly<Record<string, string>>
}
