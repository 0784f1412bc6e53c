import type { Engine } from './engine.ts'

/** How an image's platform differs from the engine's ("built for arm64, this machine is amd64"), if it does. */
export async function mismatchOf(engine: Engine, imageId: string): Promise<string | undefined> {
  const image = (await engine.json('GET', `/images/${encodeURIComponent(imageId)}/json`)) as {
    Architecture: string
  }
  const version = (await engine.json('GET', '/version')) as { Arch: string }
  if (image.Architecture === '' || image.Architecture === version.Arch) return undefined
  return `built for ${image.Architecture}, this machine is ${version.Arch}`
}
