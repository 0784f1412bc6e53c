import { ImageError } from '../../executor.ts'
import type { Engine } from '../api/engine.ts'
import { engineKind } from '../api/engine-kind.ts'
import { EngineError } from '../api/errors.ts'
import { findImage } from './stored-image.ts'

/** Architectures that a processor of another name runs by itself. */
const ALSO: Record<string, readonly string[]> = { amd64: ['386'], arm64: ['arm'] }

/** Whether a machine runs programs of an architecture by itself; what names none was imported, and is its own. */
export function runsNatively(machine: string, architecture: string): boolean {
  return ['', machine, ...(ALSO[machine] ?? [])].includes(architecture) || machine === ''
}

/** How an image's platform differs from the engine's ("built for arm64, this machine is amd64"), if it does. */
export async function mismatchOf(engine: Engine, image: string): Promise<string | undefined> {
  const [found, { architecture }] = await Promise.all([findImage(engine, image), engineKind(engine)])
  if (found === undefined || runsNatively(architecture, found.architecture)) return undefined
  return `built for ${found.architecture}, this machine is ${architecture}`
}

/** A refused start with both platforms named, where that is the reason. */
export async function withPlatforms(engine: Engine, image: string, error: unknown): Promise<unknown> {
  if (!(error instanceof ImageError) || error.reason !== 'platform_mismatch') return error
  const { cause } = error
  if (!(cause instanceof EngineError) || !/exec format error/i.test(cause.message)) return error
  const mismatch = await mismatchOf(engine, image)
  if (mismatch !== undefined)
    return new ImageError('platform_mismatch', `Image ${image} is ${mismatch}: ${cause.message}`, { cause })
  const text = `Image ${image} can't be started: its program is neither one of this machine nor a script that begins with #!: ${cause.message}`
  return new ImageError('not_startable', text, { cause })
}
