/** An image's name taken apart as the docker CLI does it. */
export interface ImageReference {
  /** Where it is pulled from, as it was written: `python`, `ghcr.io/org/x`. */
  repository: string
  /** Tag or digest; `latest` when neither was written. */
  tag: string
  /** The registry's host, `docker.io` when none was written. */
  registry: string
  /** The full name without tag and digest: `docker.io/library/python`. */
  name: string
  /** The full name: `docker.io/library/python:latest`. */
  canonical: string
  /** Its digest is named, so that it can only be one and the same image for ever. */
  isPinned: boolean
}

/** Whether it can be the name of an image at all; the engine knows the finer rules. */
export function isReference(image: string): boolean {
  return /^[A-Za-z0-9][\w.:/@+-]*$/.test(image) && !image.includes('..')
}

/** Takes `image` apart; undefined for an image's own id, which no registry knows. Checks no spelling. */
export function parseReference(image: string): ImageReference | undefined {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(image)) return undefined
  const at = image.indexOf('@')
  const beforeDigest = at < 0 ? image : image.slice(0, at)
  const colon = beforeDigest.indexOf(':', beforeDigest.lastIndexOf('/') + 1)
  const repository = colon < 0 ? beforeDigest : beforeDigest.slice(0, colon)
  const written = at < 0 ? (colon < 0 ? '' : beforeDigest.slice(colon + 1)) : image.slice(at + 1)
  // Without a tag the engine would pull all of them.
  const tag = written === '' ? 'latest' : written
  const [first = '', ...rest] = repository.split('/')
  const named = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')
  const registry = !named || first === 'index.docker.io' ? 'docker.io' : first
  const path = named ? rest.join('/') : repository
  const official = registry === 'docker.io' && !path.includes('/') ? `library/${path}` : path
  const name = `${registry}/${official}`
  const isPinned = at >= 0
  return { repository, tag, registry, name, canonical: `${name}${isPinned ? '@' : ':'}${tag}`, isPinned }
}

/**
 * Whether one of `patterns` fits the image as written or its full name. `*` stands for any characters, and a
 * pattern without a tag for every tag. No patterns = every image.
 */
export function isAllowed(image: string, patterns: readonly string[]): boolean {
  if (patterns.length === 0) return true
  const names = [image, parseReference(image)?.canonical ?? image]
  return patterns.some((pattern) => {
    const body = pattern.split('*').map(escapeRegExp).join('.*')
    const regExp = new RegExp(`^${body}(${isTagged(pattern) ? '' : '[:@][^/]*'})?$`, 's')
    return names.some((name) => regExp.test(name))
  })
}

function isTagged(pattern: string): boolean {
  return /[:@*][^/]*$/.test(pattern)
}

function escapeRegExp(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
