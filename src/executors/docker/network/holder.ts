import { statSync } from 'node:fs'
import { readNow, type HostProcess } from '../host/host-process.ts'

/** What the containers that join a network share besides its sockets, and can write to. */
const FILES = ['hosts', 'resolv.conf', 'hostname']
const TABLES = ['tcp', 'tcp6', 'udp', 'udp6']
/** None of the files is as large as this by itself. */
const MAX_FILE_BYTES = 64 * 1024

/** A container that does nothing but hold a network for the containers that join it, one after the other. */
export class Holder {
  readonly id: string
  readonly #process: HostProcess
  /** The shared files and the interfaces as the engine has made them. */
  readonly #surface: string

  private constructor(id: string, process: HostProcess, surface: string) {
    this.id = id
    this.#process = process
    this.#surface = surface
  }

  /** Undefined when it can't be seen from here what its tenants leave behind. */
  static inspect(id: string, process: HostProcess): Holder | undefined {
    const surface = surfaceOf(process.pid)
    if (surface === undefined || hasSockets(process.pid) === undefined) return undefined
    return new Holder(id, process, surface)
  }

  isAlive(): boolean {
    return this.#process.isAlive()
  }

  /**
   * Whether the last tenant has left everything as it was. A connection in TIME_WAIT counts: the next one could not
   * bind its port. False on any doubt.
   */
  isClean(): boolean {
    const { pid } = this.#process
    // Asked last whether it lives: then all this was of the process that it seems to be of.
    return hasSockets(pid) === false && surfaceOf(pid) === this.#surface && this.isAlive()
  }
}

/** Whether there is a socket in any state in the network of a process; undefined when it can't be read. */
function hasSockets(pid: number): boolean | undefined {
  const path = `/proc/${pid}/net`
  const v4 = readNow(`${path}/sockstat`)
  // A kernel without IPv6 has neither this nor the tables.
  const v6 = readNow(`${path}/sockstat6`) ?? ''
  // The count of those in TIME_WAIT is what the tables show and `inuse` doesn't. To read the tables takes the kernel
  // some milliseconds: it goes through the sockets of all networks.
  if (v4 !== undefined && /^TCP:.* tw \d+/m.test(v4)) {
    return [...(v4 + v6).matchAll(/^(?:TCP|UDP|UDPLITE|RAW)6?:.*/gm)].some(([line]) =>
      / (?:inuse|tw) [1-9]/.test(line),
    )
  }
  const tables = TABLES.map((name) => readNow(`${path}/${name}`) ?? (name.endsWith('6') ? '' : undefined))
  return tables.includes(undefined) ? undefined : tables.some((table) => /^\s*\d+:/m.test(table ?? ''))
}

/** What of a process's network others can change, as one text; undefined when it can't be read. */
function surfaceOf(pid: number): string | undefined {
  try {
    const files = FILES.map((name) => {
      const path = `/proc/${pid}/root/etc/${name}`
      const { mode, uid, gid, size } = statSync(path)
      return [name, mode, uid, gid, size > MAX_FILE_BYTES ? size : readNow(path)]
    })
    const devices = readNow(`/proc/${pid}/net/dev`)
    if (devices === undefined) return undefined
    // Somebody may disconnect it by hand.
    const names = [...devices.matchAll(/^\s*(\S+):/gm)].map(([, name]) => name)
    return JSON.stringify([names, files])
  } catch {
    return undefined
  }
}
