import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import type { Engine } from '../api/engine.ts'
import { EngineError, surroundingError } from '../api/errors.ts'
import { progressMessages } from '../api/json-lines.ts'
import { parseReference } from './reference.ts'
import { writeTar, type TarEntry } from './tar.ts'

/** Holds the digest of all that an imported image was made of. */
export const CONTENT_LABEL = 'org.opthub.runner.content'

export interface ImportRequest {
  /** `name:tag` of the image. */
  tag: string
  /** Its files; the folders above them are made too. */
  entries: readonly TarEntry[]
  command: readonly string[]
  environment?: Readonly<Record<string, string>>
  /** Further Dockerfile instructions, e.g. `VOLUME /data`. */
  changes?: readonly string[]
}

/**
 * Makes an image of files without any registry. Nothing is done when the tag bears an image of the same content
 * already. `made` says which it was.
 */
export async function importImage(
  engine: Engine,
  request: ImportRequest,
): Promise<{ id: string; made: boolean }> {
  const { tag } = request
  const reference = parseReference(tag)
  if (reference === undefined) throw new TypeError(`${tag} is not the name of an image`)
  const entries = [...withFolders(request.entries)]
  const content = await digest({ ...request, entries })
  try {
    const present = await inspect(engine, tag)
    if (present?.content === content) return { id: present.id, made: false }
    const response = await engine.open('POST', '/images/create', {
      query: {
        fromSrc: '-',
        repo: reference.repository,
        tag: reference.tag,
        changes: instructions(request, content),
      },
      body: Readable.from(writeTar(entries), { objectMode: false }),
    })
    await drain(progressMessages(response, engine.label))
    const made = await inspect(engine, tag)
    if (made === undefined) throw new EngineError(200, `image ${tag} is not there after its import`)
    if (present?.content !== undefined) await forget(engine, present.id)
    return { id: made.id, made: true }
  } catch (error) {
    throw surroundingError(error)
  }
}

/** Removes what had the tag before, unless somebody else uses it. */
async function forget(engine: Engine, id: string): Promise<void> {
  try {
    await engine.json('DELETE', `/images/${encodeURIComponent(id)}`)
  } catch (error) {
    if (!(error instanceof EngineError)) throw error
  }
}

/** Reads to the end: an error may be the last message. */
async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  const iterator = messages[Symbol.asyncIterator]()
  while ((await iterator.next()).done !== true);
}

async function inspect(
  engine: Engine,
  tag: string,
): Promise<{ id: string; content: string | undefined } | undefined> {
  try {
    const answer = await engine.json('GET', `/images/${encodeURIComponent(tag)}/json`)
    const { Id, Config } = answer as { Id: string; Config: { Labels?: Record<string, string> | null } | null }
    return { id: Id, content: Config?.Labels?.[CONTENT_LABEL] }
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined
    throw error
  }
}

function instructions({ command, environment = {}, changes = [] }: ImportRequest, content: string): string[] {
  return [
    `CMD ${JSON.stringify(command)}`,
    ...Object.entries(environment).map(([name, value]) => `ENV ${name}=${quote(value)}`),
    `LABEL ${CONTENT_LABEL}=${quote(content)}`,
    ...changes,
  ]
}

/** A word of a Dockerfile: quoted, and no variable in it replaced. */
function quote(text: string): string {
  return `"${text.replaceAll(/["\\$]/g, '\\$&')}"`
}

/** The entries with every folder above them before them, each once. */
function* withFolders(entries: readonly TarEntry[]): Generator<TarEntry> {
  const made = new Set(['/', '.'])
  for (const entry of entries) {
    const missing: string[] = []
    for (let folder = dirname(entry.path); !made.has(folder); folder = dirname(folder))
      missing.unshift(folder)
    for (const path of missing) {
      made.add(path)
      yield { path, type: 'folder' }
    }
    if (entry.type === 'folder') made.add(entry.path)
    yield entry
  }
}

async function digest({ entries, command, environment = {}, changes = [] }: ImportRequest): Promise<string> {
  const hash = createHash('sha256')
  hash.update(JSON.stringify([command, environment, changes]))
  for (const entry of entries) {
    hash.update(JSON.stringify({ ...entry, from: undefined }))
    if (entry.type === 'file')
      for await (const part of createReadStream(entry.from)) hash.update(part as Buffer)
  }
  return hash.digest('hex')
}
