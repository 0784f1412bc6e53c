import { readFileSync } from 'node:fs'
import { kill } from 'node:process'
import type { Usage } from '../../executor.ts'

/** The kernel has begun to take the process apart (PF_EXITING in the kernel's sched.h). */
const EXITING = 0x4

/**
 * The first process of a container, as this machine's own /proc shows it. All is read at once: the kernel makes these
 * texts up without waiting for anything, in less time than another thread takes to be asked.
 */
export class HostProcess {
  readonly pid: number
  readonly #startTime: string

  private constructor(pid: number, startTime: string) {
    this.pid = pid
    this.#startTime = startTime
  }

  /**
   * The process that the engine says to be a container's first one; undefined when /proc does not show just that one,
   * because it has ended, or because the engine is on another machine or in another namespace.
   */
  static find(pid: number, containerId: string): HostProcess | undefined {
    if (pid <= 0) return undefined
    // In this order: when the second shows the container, the first is of a process that still has the pid.
    const seen = readStat(pid)
    const groups = readNow(`/proc/${pid}/cgroup`)
    if (seen === undefined || groups?.includes(containerId) !== true) return undefined
    return new HostProcess(pid, seen.startTime)
  }

  /** Whether its program runs at this moment. */
  isAlive(): boolean {
    const seen = readStat(this.pid)
    return (
      seen !== undefined &&
      seen.startTime === this.#startTime &&
      !'ZXx'.includes(seen.state) &&
      (seen.flags & EXITING) === 0
    )
  }

  /** Ends it and with it, since it is its container's first one, all others in there. Never throws. */
  kill(): void {
    try {
      if (this.isAlive()) kill(this.pid, 'SIGKILL')
    } catch {
      // It is not ours to end; the engine will.
    }
  }

  /** What its whole container occupies, else what it occupies itself, in bytes. */
  memoryBytes(): number | undefined {
    const bytes = this.#groupBytes() ?? this.#residentBytes()
    // Asked last: then all that was of this very process.
    return this.isAlive() ? bytes : undefined
  }

  /** What its container has used until now; undefined when it has ended. */
  usage(): Usage | undefined {
    const v1 = this.#groupNumber('cpuacct', 'cpuacct.usage', /^(\d+)$/m)
    const v2 = this.#groupNumber('', 'cpu.stat', /^usage_usec (\d+)$/m)
    const cpuMs = v1 === undefined ? (v2 ?? 0) / 1e3 : v1 / 1e6
    const peak =
      this.#groupNumber('memory', 'memory.max_usage_in_bytes', /^(\d+)$/m) ??
      this.#groupNumber('', 'memory.peak', /^(\d+)$/m) ??
      this.#groupBytes()
    return this.isAlive() ? { cpuMs, memoryPeakBytes: peak ?? 0 } : undefined
  }

  /** By its control group; undefined where that is not mounted in the usual place. */
  #groupBytes(): number | undefined {
    return (
      this.#groupNumber('memory', 'memory.usage_in_bytes', /^(\d+)$/m) ??
      this.#groupNumber('', 'memory.current', /^(\d+)$/m)
    )
  }

  /** What a file of its control group says, in the tree of this resource; '' = the one tree of all. */
  #groupNumber(tree: string, file: string, pattern: RegExp): number | undefined {
    const groups = readNow(`/proc/${this.pid}/cgroup`) ?? ''
    const line = new RegExp(tree === '' ? '^0::(.*)$' : `^\\d+:(?:[^:]*,)?${tree}(?:,[^:]*)?:(.*)$`, 'm')
    const group = line.exec(groups)?.[1]
    const text = group === undefined ? undefined : readNow(`/sys/fs/cgroup/${tree}${group}/${file}`)
    const digits = pattern.exec(text ?? '')?.[1]
    return digits === undefined ? undefined : Number(digits)
  }

  #residentBytes(): number | undefined {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readNow(`/proc/${this.pid}/status`) ?? '')?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
  }
}

/** The text of a file that the kernel makes up; undefined when it can't be read. */
export function readNow(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function readStat(pid: number): { state: string; flags: number; startTime: string } | undefined {
  const text = readNow(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  // The name in the second field may hold blanks and brackets.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? 'X', flags: Number(fields[6] ?? 0), startTime: fields[19] ?? '' }
}
