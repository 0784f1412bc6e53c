import { rm } from 'node:fs/promises'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { Executor, TaskLimits, TaskSpec } from '../executors/executor.ts'
import { supervise } from '../executors/supervise.ts'

/** A folder in which a job's program may have left files of other users. */
interface LeftFolder {
  folder: string
  /** Whose programs make them ours. */
  image: string
  kind: string
  /** Of the containers for that. */
  name: () => string
  /** Those of the job: its image may be anybody's. */
  limits: TaskLimits
}

/** Who this process is to the file system; undefined where users have no numbers. */
export type FolderUser = { uid: number; gid: number } | undefined

const TARGET = '/files'
const PATIENCE_MS = 60_000

/** Removes a folder with all that is in it; `own` is asked to make it ours where that is refused. */
export async function removeFolder(folder: string, own: () => Promise<void>): Promise<void> {
  try {
    await remove(folder)
  } catch {
    await own()
    await remove(folder)
  }
}

async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3, retryDelay: 100 })
}

/** Makes what is in a folder the user's own, by the programs of the job's image, as far as it has any. */
export async function ownFolder(
  { folder, image, kind, name, limits }: LeftFolder,
  user: FolderUser,
  executor: Pick<Executor, 'start'>,
  log: Logger,
): Promise<void> {
  if (user === undefined || user.uid === 0) return
  const ways = [
    ['chown', '-R', '-h', `${user.uid}:${user.gid}`, TARGET],
    ['chmod', '-R', 'a+rwX', TARGET],
  ]
  const signal = AbortSignal.timeout(PATIENCE_MS)
  for (const [program = '', ...args] of ways) {
    const spec: TaskSpec = {
      name: name(),
      kind,
      image,
      entrypoint: [program],
      command: args,
      environment: {},
      mounts: [{ source: folder, target: TARGET, readOnly: false }],
      limits: { ...limits, network: 'none', user: '0:0' },
      isUnique: true,
      keep: false,
    }
    try {
      await using task = await executor.start(spec, signal)
      const bounds = { input: new Uint8Array(), timeoutMs: Infinity, stopGraceSeconds: 0 }
      const { exit } = await supervise(task, bounds, () => undefined, signal)
      if (exit.exitCode === 0) return
    } catch (error) {
      log.debug('Making the files of a job ours failed', { program, error: messageOf(error) })
    }
  }
  log.warn('The files that a job has left belong to others, and its image has no program to change that', {
    folder,
  })
}
