import { NotYetError } from '../../core/errors.ts'
import { secretsIn } from '../../core/redact.ts'
import type { GpuRequest, TaskLimits } from '../../executors/executor.ts'
import type { InputFile } from '../../files/files.ts'
import type { ImageRecipe, Match, MatchSource } from '../matches.ts'

/** One of a match's two images, as `matches:` in the config has it. */
export interface LocalRecipe {
  image: string
  command?: readonly string[] | undefined
  environment?: Readonly<Record<string, string>> | undefined
  /** Seconds. */
  timeout?: number | undefined
  limits?: TaskLimits | undefined
  gpus?: GpuRequest | undefined
  inputs?: readonly InputFile[] | undefined
}

/** An entry of `matches:`. */
export interface LocalMatch {
  problem?: LocalRecipe | undefined
  indicator?: LocalRecipe | undefined
  direction?: 'minimize' | 'maximize' | undefined
}

/** A match that is asked for in vain is looked up again; the file can't change under a running process. */
const PARKED_SECONDS = 60

/** Matches that stand in the config file, by UUID in any case of letters; `*` stands for all others. */
export function createLocalMatchSource(matches: Readonly<Record<string, LocalMatch>>): MatchSource {
  const byId = new Map(Object.entries(matches).map(([id, match]) => [bareId(id).toLowerCase(), match]))
  return {
    resolve: (matchId) => {
      const id = bareId(matchId)
      const found = byId.get(id.toLowerCase()) ?? byId.get('*')
      if (found !== undefined) return Promise.resolve(toMatch(id, found))
      const hint =
        'add it (or "*") to `matches:` in the config file, or log in to OptHub by `opthub-runner login` (not with --local); then start again'
      return Promise.reject(new NotYetError(`the match ${id} is not known: ${hint}`, PARKED_SECONDS))
    },
  }
}

function toMatch(id: string, { problem, indicator, direction }: LocalMatch): Match {
  return {
    id,
    direction: direction ?? 'minimize',
    ...(problem && { problem: toRecipe(problem) }),
    ...(indicator && { indicator: toRecipe(indicator) }),
  }
}

function toRecipe({
  image,
  command,
  environment = {},
  timeout,
  limits,
  gpus,
  inputs = [],
}: LocalRecipe): ImageRecipe {
  // The config has no private part of an environment.
  const secrets = secretsIn(environment)
  return {
    image,
    environment,
    ...(command && { command }),
    ...(timeout !== undefined && { timeoutSeconds: timeout }),
    ...(limits && { limits }),
    ...(gpus !== undefined && { gpus }),
    ...(inputs.length > 0 && { inputs }),
    ...(secrets.length > 0 && { secrets }),
  }
}

function bareId(id: string): string {
  return id.startsWith('Match#') ? id.slice('Match#'.length) : id
}
