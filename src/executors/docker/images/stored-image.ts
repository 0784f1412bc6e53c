import type { Engine } from '../api/engine.ts'
import { EngineError, surroundingError } from '../api/errors.ts'
import { parseReference } from './reference.ts'

/** An image that an engine has. */
export interface StoredImage {
  /** `sha256:…` */
  id: string
  os: string
  /** As images name it, e.g. amd64; empty when nobody says. */
  architecture: string
  variant: string
  /** Names with tags, as the engine writes them. */
  tags: readonly string[]
  /** Names with digests, as the engine writes them. */
  digests: readonly string[]
  sizeBytes: number
  /** Paths at which containers of it have volumes. */
  volumes: readonly string[]
  /** Left out = none. */
  entrypoint?: readonly string[]
  /** Left out = none. */
  labels?: Readonly<Record<string, string>>
}

/** The image of this name or id; undefined when the engine has none, or when that is no name. */
export async function findImage(
  engine: Engine,
  image: string,
  signal?: AbortSignal,
): Promise<StoredImage | undefined> {
  try {
    const path = `/images/${encodeURIComponent(image)}/json`
    const found = (await engine.json('GET', path, { signal })) as Inspected
    return {
      id: found.Id,
      os: found.Os ?? 'linux',
      architecture: found.Architecture ?? '',
      variant: found.Variant ?? '',
      tags: (found.RepoTags ?? []).filter((tag) => tag !== '<none>:<none>'),
      digests: (found.RepoDigests ?? []).filter((digest) => !digest.startsWith('<none>@')),
      sizeBytes: found.Size ?? 0,
      volumes: Object.keys(found.Config?.Volumes ?? {}),
      entrypoint: found.Config?.Entrypoint ?? [],
      labels: found.Config?.Labels ?? {},
    }
  } catch (error) {
    // 400: no name of an image at all; who asked for it says it best.
    if (error instanceof EngineError && error.isByEngine && [400, 404].includes(error.status))
      return undefined
    throw surroundingError(error)
  }
}

interface Inspected {
  Id: string
  Os?: string
  Architecture?: string
  Variant?: string
  RepoTags?: string[] | null
  RepoDigests?: string[] | null
  Size?: number
  Config?: {
    Volumes?: Record<string, unknown> | null
    Entrypoint?: string[] | null
    Labels?: Record<string, string> | null
  } | null
}

/** The ids of all images that have a name, or had one. */
export async function imageIds(engine: Engine, signal?: AbortSignal): Promise<Set<string>> {
  const listed = (await engine.json('GET', '/images/json', { signal })) as { Id: string }[]
  return new Set(listed.map(({ Id }) => Id))
}

/** `os/arch[/variant]`, as far as it is known. */
export function platformOf({
  os,
  architecture,
  variant,
}: Pick<StoredImage, 'os' | 'architecture' | 'variant'>): string {
  return [os, architecture, variant].filter((part) => part !== '').join('/')
}

/** Whether an image is of the platform that is asked for; what one of the two does not say fits. */
export function fitsPlatform(image: StoredImage, wanted: string): boolean {
  const [os, architecture, variant = ''] = wanted.split('/')
  return (
    image.os === os &&
    image.architecture === architecture &&
    (image.variant === '' || variant === '' || image.variant === variant)
  )
}

/** The digest under which an image's registry knows it; undefined for one that came from nowhere. */
export function digestOf(image: StoredImage, name: string): string | undefined {
  const parsed = image.digests.flatMap((digest) => parseReference(digest) ?? [])
  const wanted = parseReference(name)
  return parsed.find((each) => wanted === undefined || each.name === wanted.name)?.tag
}
