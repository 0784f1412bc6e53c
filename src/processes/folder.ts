import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder } from '../core/make-folder.ts'
import { parseRecord, type ProcessRecord } from './record.ts'

/** A record and the file that holds it. */
export interface ProcessEntry {
  path: string
  record: ProcessRecord
}

/** `<name's slug>-<name's hash>.<pid>-<random>.json`: one file for each process, never used by another one. */
const FILE = /^[\w-]*-[0-9a-f]{16}\.\d+-[0-9a-f]{12}\.json$/
const TEMPORARY = /^\.[0-9a-f]{12}\.tmp$/
/** Ours are below 10 kB. */
const LARGEST_BYTES = 100_000
/** A temporary file lives for milliseconds; an older one is what a crash has left. */
const LEFTOVER_MS = 3_600_000

function folderOf(dataDir: string): string {
  return join(dataDir, 'processes')
}

/** The path of a new file for a process of this name. */
export function newPath(dataDir: string, name: string, pid: number): string {
  return join(folderOf(dataDir), `${prefixOf(name)}${pid}-${randomBytes(6).toString('hex')}.json`)
}

/** The records of all processes, or of those with this name. What can't be read as one is removed when it is ours. */
export async function readEntries(dataDir: string, name?: string): Promise<ProcessEntry[]> {
  const folder = folderOf(dataDir)
  const prefix = name === undefined ? '' : prefixOf(name)
  const files = await readdir(folder).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw error
  })
  await removeLeftovers(folder, files)
  const found: ProcessEntry[] = []
  for (const file of files.filter((each) => FILE.test(each) && each.startsWith(prefix)).sort()) {
    const entry = await readEntry(join(folder, file))
    if (entry !== undefined) found.push(entry)
  }
  return found
}

/** The record in a file; undefined when the file is gone, or held none and was removed. */
export async function readEntry(path: string): Promise<ProcessEntry | undefined> {
  let text: string
  try {
    const { size } = await stat(path)
    text = size > LARGEST_BYTES ? '' : await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  const record = parseRecord(text)
  // It was written in one step, so this one is torn by a crash of the machine and nobody's any more.
  if (record === undefined) await removeEntry(path)
  return record === undefined ? undefined : { path, record }
}

/** Writes a record in one step; only its owner may read it. */
export async function writeEntry(path: string, record: ProcessRecord): Promise<void> {
  const folder = join(path, '..')
  await makeFolder(folder, 0o700)
  const temporary = join(folder, `.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await writeFile(temporary, `${JSON.stringify(record)}\n`, { flag: 'wx', mode: 0o600 })
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

export async function removeEntry(path: string): Promise<void> {
  await rm(path, { force: true })
}

/** Names may hold anything, and file names may not: the hash tells names apart, the slug is for people. */
function prefixOf(name: string): string {
  const slug = name.replaceAll(/[^A-Za-z0-9_-]+/g, '_').slice(0, 40)
  return `${slug}-${createHash('sha256').update(name).digest('hex').slice(0, 16)}.`
}

async function removeLeftovers(folder: string, files: readonly string[]): Promise<void> {
  for (const file of files.filter((each) => TEMPORARY.test(each))) {
    const path = join(folder, file)
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }))
    if (Date.now() - mtimeMs > LEFTOVER_MS) await rm(path, { force: true })
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOENT' || code === 'ENOTDIR'
}
