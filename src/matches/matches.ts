import type { GpuRequest, TaskLimits } from '../executors/executor.ts'
import type { InputFile } from '../files/files.ts'

/** How to run one of a match's two images. */
export interface ImageRecipe {
  image: string
  /** Left out = the image's own. Words on the command line win over both. */
  command?: readonly string[]
  environment: Readonly<Record<string, string>>
  /** Values of `environment` that must never appear in an error text or a log. */
  secrets?: readonly string[]
  /** Seconds from the input to the kill; left out = the config's `timeout`. */
  timeoutSeconds?: number
  limits?: TaskLimits
  /** Left out = the config's `gpus`. */
  gpus?: GpuRequest
  /** Files that each container finds below /files, read-only. */
  inputs?: readonly InputFile[]
}

export interface Match {
  /** Bare UUID. */
  id: string
  /** Evaluates a solution; left out when the source has none. */
  problem?: ImageRecipe
  /** Scores a series of evaluations; left out when the source has none. */
  indicator?: ImageRecipe
  /** Which scores are better, for display only. */
  direction: 'minimize' | 'maximize'
}

/** Where a match's images and environments come from. */
export interface MatchSource {
  /**
   * NotYetError: the match is parked until an administrator has mended it. RetryableError('matches'): the source
   * can't be reached.
   */
  resolve(matchId: string, signal: AbortSignal): Promise<Match>
}
