import { JobError, NotYetError, RetryableError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import type { JobContext } from '../core/kind.ts'
import type { Logger } from '../core/log.ts'
import { redact, redactLog } from '../core/redact.ts'
import { ImageError, type TaskInput, type TaskSpec } from '../executors/executor.ts'
import { assertFits, hasNeeds } from '../executors/resource-fit.ts'
import { parseResult } from '../executors/run-json.ts'
import { runTask, taskName } from '../executors/run-task.ts'
import { FileError } from '../files/files.ts'
import type { ImageRecipe } from '../matches/matches.ts'
import type { Trial } from '../records/keys.ts'
import { asUnseen, type InputFolder } from './input-folder.ts'
import { identifyTrial } from './message.ts'
import { Parking } from './parking.ts'
import type { KindServices } from './services.ts'

const STDERR_TAIL_BYTES = 64 * 1024

/** A trial's way through its image. */
export interface ImageRun<T> {
  trial: Trial
  recipe: ImageRecipe
  input: TaskInput | (() => TaskInput)
  /** Reads the image's answer; throws SchemaViolation or JobError. */
  read: (object: JsonObject, log: Logger) => T
  job: JobContext
}

/** The images of all matches in one of their two roles: where they come from, how they are run. */
export class MatchImages {
  readonly #kind: string
  readonly #role: 'problem' | 'indicator'
  readonly #services: KindServices
  readonly #parking: Parking

  constructor(kind: string, role: 'problem' | 'indicator', services: KindServices) {
    this.#kind = kind
    this.#role = role
    this.#services = services
    this.#parking = new Parking(services.clock)
  }

  /** How to run a match's image; NotYetError when only an administrator can say. */
  async resolve({ matchId }: Trial, signal: AbortSignal, log: Logger): Promise<ImageRecipe> {
    this.#parking.check(matchId)
    try {
      const match = await this.#services.matches.resolve(matchId, signal)
      const recipe = match[this.#role]
      if (recipe !== undefined) return recipe
    } catch (error) {
      if (!(error instanceof NotYetError)) throw error
      throw this.#parking.park(matchId, error.message, error.retryAfterSeconds, log)
    }
    throw this.#park(matchId, `the match ${matchId} has no ${this.#role} image`, log)
  }

  /** Runs an image and reads its answer. Nothing thrown or logged holds the recipe's secrets. */
  async run<T>({ trial, recipe, input, read, job }: ImageRun<T>): Promise<T> {
    const { executor, settings } = this.#services
    const secrets = recipe.secrets ?? []
    const log = redactLog(job.log, secrets)
    const timeoutMs = (recipe.timeoutSeconds ?? settings.timeoutSeconds) * 1000
    const bounds = {
      timeoutMs,
      maxLineBytes: settings.maxOutputBytes,
      maxTotalBytes: settings.maxTotalOutputBytes,
    }
    try {
      const spec = this.#specOf(trial, recipe)
      // Before files and image, which may take long and for nothing.
      if (hasNeeds(spec)) assertFits(spec, await executor.capacity(job.signal))
      await using files = await this.#filesOf(recipe, job.signal)
      job.timeline.enter('pull')
      await executor.pull(spec.image, job.signal, spec.limits.platform)
      const { stopGraceSeconds } = settings
      const request = {
        ...bounds,
        spec: withMounts(spec, files),
        input,
        stopGraceSeconds,
        stderrTailBytes: STDERR_TAIL_BYTES,
      }
      const result = await runTask(executor, request, {
        signal: job.signal,
        timeline: job.timeline,
        log,
      }).catch((error: unknown) => {
        throw files === undefined ? error : asUnseen(error)
      })
      this.#parking.release(trial.matchId, log)
      job.timeline.enter('parse')
      const value = parseResult(result, {
        ...bounds,
        strictExit: settings.strictExit,
        schema: (object) => read(object, log),
        log,
      })
      job.timeline.markFinished()
      return value
    } catch (error) {
      throw this.#translate(error, trial, secrets, log)
    }
  }

  #specOf(trial: Trial, recipe: ImageRecipe): TaskSpec {
    const { settings } = this.#services
    const command = settings.command ?? recipe.command
    const gpus = recipe.gpus ?? settings.gpus
    return {
      name: taskName(this.#kind, identifyTrial(trial).shortId),
      kind: this.#kind,
      image: recipe.image,
      environment: recipe.environment,
      limits: { ...settings.limits, ...recipe.limits },
      keep: settings.keep,
      ...(command && { command }),
      ...(gpus !== undefined && { gpus }),
    }
  }

  async #filesOf({ inputs }: ImageRecipe, signal: AbortSignal): Promise<InputFolder | undefined> {
    if (inputs === undefined || inputs.length === 0) return undefined
    const { inputs: source } = this.#services
    if (source === undefined) throw new TypeError('nothing fetches the files of matches')
    return await source.open(inputs, signal)
  }

  #translate(error: unknown, { matchId }: Trial, secrets: readonly string[], log: Logger): unknown {
    const clean = (text: string): string => redact(text, secrets)
    // An image that can't even be started is the administrator's affair, like one that can't be had; so are files.
    if (error instanceof ImageError || error instanceof FileError)
      return this.#park(matchId, clean(error.message), log)
    if (secrets.length === 0) return error
    if (error instanceof JobError)
      return new JobError(error.code, clean(error.publicMessage), clean(error.detail))
    if (error instanceof RetryableError) return new RetryableError(error.surrounding, clean(error.message))
    if (error instanceof Error) {
      // Of what nobody foresaw message and trace get into the log.
      error.message = clean(error.message)
      error.stack = clean(error.stack ?? '')
    }
    return error
  }

  #park(matchId: string, reason: string, log: Logger): NotYetError {
    return this.#parking.park(matchId, reason, this.#services.settings.matchTtlSeconds, log)
  }
}

function withMounts(spec: TaskSpec, files: InputFolder | undefined): TaskSpec {
  return files === undefined ? spec : { ...spec, mounts: files.mounts }
}
