import { createHash } from 'node:crypto'
import { readdir, statfs } from 'node:fs/promises'
import { freemem, platform } from 'node:os'
import { unlessAborted } from '../../../core/unless-aborted.ts'
import type { Engine } from '../api/engine.ts'
import { engineKind } from '../api/engine-kind.ts'
import { oncePerEngine } from '../api/once-per-engine.ts'
import { ownContainer } from './own-container.ts'

/** An engine's data: which they are, and where. */
export interface EngineData {
  /** Tells this engine's images from those of others; the same in every process. */
  key: string
  /** Where the engine keeps them, as it says; empty when it does not. */
  root: string
  /** A path of this machine on the disk that they are on; undefined when that can't be seen from here. */
  seenAt: string | undefined
}

const engineDataOf = oncePerEngine(ask)

/** Asks an engine once where its data are. Throws what the engine throws; then it is asked again. */
export async function engineData(engine: Engine, signal?: AbortSignal): Promise<EngineData> {
  const asked = engineDataOf(engine)
  return await (signal === undefined ? asked : unlessAborted(asked, signal))
}

/** Bytes that an engine can still write to its data; undefined when that can't be seen from here. */
export async function freeDiskBytes(engine: Engine, signal?: AbortSignal): Promise<number | undefined> {
  const { seenAt } = await engineData(engine, signal)
  if (seenAt === undefined) return undefined
  return await statfs(seenAt).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => undefined,
  )
}

/** Files that an engine can still make in its data; undefined when that can't be seen, or has no end. */
export async function freeInodes(engine: Engine, signal?: AbortSignal): Promise<number | undefined> {
  const { seenAt } = await engineData(engine, signal)
  if (seenAt === undefined) return undefined
  return await statfs(seenAt).then(
    ({ files, ffree }) => (files === 0 ? undefined : ffree),
    () => undefined,
  )
}

/** Bytes of memory that new processes can have beside an engine's containers; undefined when that can't be seen. */
export async function freeMemoryBytes(engine: Engine, signal?: AbortSignal): Promise<number | undefined> {
  const { seenAt } = await engineData(engine, signal)
  // Linux counts what its caches would give up.
  return seenAt === undefined || platform() !== 'linux' ? undefined : freemem()
}

interface InfoAnswer {
  ID?: string
  Name?: string
  Driver?: string
  OperatingSystem?: string
  DockerRootDir?: string
}

async function ask(engine: Engine): Promise<EngineData> {
  const info = (await engine.json('GET', '/info')) as InfoAnswer
  const { ID: id = '', Name: name = '', DockerRootDir: root = '' } = info
  // Podman makes a new id for each answer. The root belongs to it, since engines of one machine may share an id.
  const { product } = await engineKind(engine)
  const names = [product === 'Podman' || id === '' ? name : id, root]
  const key = createHash('sha256').update(JSON.stringify(names)).digest('hex').slice(0, 32)
  return { key, root, seenAt: await seenAt(engine, info, root) }
}

async function seenAt(engine: Engine, info: InfoAnswer, root: string): Promise<string | undefined> {
  if (!engine.label.startsWith('unix://') || isVirtual(info)) return undefined
  // What a container writes goes where the engine keeps its images.
  if ((await ownContainer(engine)) !== undefined) return /overlay/.test(info.Driver ?? '') ? '/' : undefined
  return (await isEnginesOwn(root)) ? root : undefined
}

/** The engine has a virtual machine of its own: its folders are not this machine's. */
export function isVirtual({ OperatingSystem: system = '', Name: name = '' }: InfoAnswer): boolean {
  return /docker desktop|colima|rancher|orbstack|lima/i.test(`${system} ${name}`)
}

/** An engine that sees other mounts than we do leaves an empty folder here, or none. */
async function isEnginesOwn(root: string): Promise<boolean> {
  if (root === '') return false
  try {
    return (await readdir(root)).length > 0
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES'
  }
}
