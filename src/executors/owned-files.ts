import { randomBytes } from 'node:crypto'
import { readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { makeFolder } from '../core/make-folder.ts'
import { currentProcessId, processState } from '../core/process-id.ts'

/** A file of a process that lives. */
export interface OwnedFile {
  /** What it is about; not unique. */
  name: string
  file: string
  isOurs: boolean
  /** What its owner wrote into it; `{}` for our own. */
  note: Readonly<Record<string, unknown>>
}

interface Content {
  /** Left out where processes have no id (no Linux). */
  process?: string
  hostname: string
  since: string
  note?: Record<string, unknown>
}

/** Files of a process that can't be judged from here are good while it gives signs of life. */
const SIGN_OF_LIFE_MS = 20_000
const LONGEST_SILENCE_MS = 120_000
/** `<name>.<token>.json`: each file has a name of its own, so removing a dead one's never hits another's. */
const FILE = /^([^.]+)\.([0-9a-f]{24})\.json$/
const TEMPORARY = /^\.[0-9a-f]{24}\.tmp$/

/** Small files in a folder that many processes share, each good for as long as the process that wrote it lives. */
export class OwnedFiles {
  readonly #folder: string
  readonly #clock: Clock
  readonly #own = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(folder: string, clock: Clock) {
    this.#folder = folder
    this.#clock = clock
  }

  /** Writes a file in one step; only this user may read it. */
  async write(name: string, note: Record<string, unknown> = {}): Promise<string> {
    await makeFolder(this.#folder, 0o700)
    const token = randomBytes(12).toString('hex')
    const temporary = join(this.#folder, `.${token}.tmp`)
    const file = `${encodeURIComponent(name).replaceAll('.', '%2E')}.${token}.json`
    const id = await currentProcessId()
    const content: Content = {
      ...(id === undefined ? {} : { process: id }),
      hostname: hostname(),
      since: this.#clock.date().toISOString(),
      note,
    }
    try {
      await writeFile(temporary, `${JSON.stringify(content)}\n`, { flag: 'wx', mode: 0o600 })
      this.#own.add(file)
      await rename(temporary, join(this.#folder, file))
    } catch (error) {
      this.#own.delete(file)
      await rm(temporary, { force: true })
      throw error
    }
    this.#timer ??= setInterval(() => void this.#giveSignOfLife(), SIGN_OF_LIFE_MS).unref()
    return file
  }

  async remove(file: string): Promise<void> {
    await rm(join(this.#folder, file), { force: true })
    this.#own.delete(file)
    if (this.#own.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** The files of living processes, all or those with a name. What dead ones have left is removed. */
  async living(name?: string): Promise<OwnedFile[]> {
    const files = await readdir(this.#folder).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    })
    const living: OwnedFile[] = []
    for (const file of files) {
      const found = FILE.exec(file)?.[1]
      if (found === undefined) {
        await this.#removeLeftover(file)
        continue
      }
      const theirs = decodeURIComponent(found)
      if (name !== undefined && theirs !== name) continue
      if (this.#own.has(file)) {
        living.push({ name: theirs, file, isOurs: true, note: {} })
        continue
      }
      const note = await this.#read(file)
      if (note === undefined) await rm(join(this.#folder, file), { force: true })
      else living.push({ name: theirs, file, isOurs: false, note })
    }
    return living
  }

  /** The note of a file whose owner lives. */
  async #read(file: string): Promise<Record<string, unknown> | undefined> {
    const path = join(this.#folder, file)
    let content: Content
    let silentMs: number
    try {
      content = JSON.parse(await readFile(path, 'utf8')) as Content
      silentMs = Date.now() - (await stat(path)).mtimeMs
    } catch (error) {
      // Gone; or torn by a crash of the machine, since it was written in one step.
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    return (await isAlive(content, silentMs)) ? (content.note ?? {}) : undefined
  }

  async #giveSignOfLife(): Promise<void> {
    const now = new Date()
    for (const file of this.#own) await utimes(join(this.#folder, file), now, now).catch(() => undefined)
  }

  /** What a crash has left between the two steps of a write. */
  async #removeLeftover(file: string): Promise<void> {
    if (!TEMPORARY.test(file)) return
    const path = join(this.#folder, file)
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }))
    if (Date.now() - mtimeMs > LONGEST_SILENCE_MS) await rm(path, { force: true })
  }
}

async function isAlive(owner: Content, silentMs: number): Promise<boolean> {
  if (owner.process !== undefined) {
    const state = await processState(owner.process)
    if (state !== 'unknown') return state === 'alive'
    const here = await currentProcessId()
    // The same machine, started anew.
    if (owner.hostname === hostname() && here !== undefined && bootOf(here) !== bootOf(owner.process))
      return false
  }
  return silentMs < LONGEST_SILENCE_MS
}

function bootOf(process: string): string | undefined {
  return process.split(':', 1)[0]
}
