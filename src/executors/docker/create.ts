import type { Engine } from './api/engine.ts'
import { EngineError } from './api/errors.ts'
import type { Removals } from './removals.ts'

/** A container to be created. */
export interface Creation {
  /** That no other container has. */
  name: string
  body: object
  platform?: string | undefined
  /** Longest silence until the answer. */
  silenceMs?: number
  /** The volume that comes with it. */
  volume?: string
}

/** What an engine says of a container that it has created. */
export interface Created {
  id: string
  warnings: readonly string[]
}

/**
 * Creates a container. When that fails none is left behind for long. It takes no signal: of a request that is cut nobody knows what
 * comes of it.
 */
export async function createContainer(
  { engine, removals }: { engine: Engine; removals: Removals },
  { name, body, platform, volume, ...options }: Creation,
): Promise<Created> {
  try {
    const answer = await engine.json('POST', '/containers/create', {
      query: { name, ...(platform === undefined ? {} : { platform }) },
      body,
      // A request on a kept connection may be sent a second time, and would then find its own name taken.
      fresh: true,
      ...options,
    })
    const { Id: id, Warnings: warnings } = answer as { Id: string; Warnings?: string[] | null }
    return { id, warnings: warnings ?? [] }
  } catch (error) {
    if (mayComeYet(error, name)) {
      removals.removeUnsure(name, ...(volume === undefined ? [] : [{ volume }]))
    }
    // It admits a fault of its own.
    else if (error instanceof EngineError && error.status === 500) await removals.remove(name)
    throw error
  }
}

/**
 * Whether an engine may still be creating a container though the request failed: there was no answer, or a proxy gave it,
 * or the request arrived twice. Nothing else is to get its name then.
 */
export function mayComeYet(error: unknown, name: string): boolean {
  if (!(error instanceof EngineError && error.isByEngine)) return true
  return error.status > 500 || (error.status === 409 && error.message.includes(name))
}
