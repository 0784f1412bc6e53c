import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeOwnFolder, removeOrphanFolders } from '../../../core/own-folder.ts'
import type { TaskSpec } from '../../executor.ts'

/** As the engine writes it for a container with a network, less the container's own name. */
const TEXT = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`

/** Begins the names of our folders. */
const PREFIX = 'opthub-runner-hosts-'

/**
 * The /etc/hosts of containers without network. Its name is one that no other machine has, so that an engine which
 * finds it proves that it sees our files.
 */
export class HostsFile {
  readonly #inHostPaths: (spec: TaskSpec) => Promise<TaskSpec>
  #folder: Promise<string> | undefined
  #path: Promise<string | undefined> | undefined

  /** `inHostPaths` says where files of ours are on the engine's machine, and throws when they are nowhere there. */
  constructor(inHostPaths: (spec: TaskSpec) => Promise<TaskSpec>) {
    this.#inHostPaths = inHostPaths
  }

  /** Where it is on the engine's machine, for a task; undefined when the engine can't have it. */
  async path(task: TaskSpec): Promise<string | undefined> {
    this.#path ??= this.#write(task).catch(() => undefined)
    return await this.#path
  }

  /** The engine has not found it. */
  giveUp(): void {
    this.#path = Promise.resolve(undefined)
  }

  async remove(): Promise<void> {
    const folder = await this.#folder?.catch(() => undefined)
    this.giveUp()
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  }

  async #write(task: TaskSpec): Promise<string | undefined> {
    this.#folder = makeOwnFolder(PREFIX)
    void removeOrphanFolders(PREFIX)
    const path = join(await this.#folder, 'hosts')
    // Set explicitly: everybody in the container may read it, whatever this process lets others do.
    await writeFile(path, TEXT)
    await chmod(path, 0o644)
    const mounts = [{ source: path, target: '/etc/hosts', readOnly: true }]
    const there = await this.#inHostPaths({ ...task, mounts })
    return there.mounts?.[0]?.source
  }
}
