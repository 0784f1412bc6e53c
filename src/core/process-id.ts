import { readFile, readlink, stat } from 'node:fs/promises'

/**
 * A process that no other is ever taken for, `<boot id>:<pid namespace>:<pid>:<start time>`: a pid alone is used again
 * sooner or later.
 */
export type ProcessId = string

/** Whether a process lives. `unknown` = it can't be judged from here, e.g. it is on another host. */
export type ProcessState = 'alive' | 'dead' | 'unknown'

/** The id of this process; undefined where there is no /proc, so on no Linux. */
export async function currentProcessId(): Promise<ProcessId | undefined> {
  try {
    const { pid, startTime } = parseStat(await readFile('/proc/self/stat', 'utf8'))
    return `${await bootId()}:${await pidNamespace()}:${pid}:${startTime}`
  } catch {
    return undefined
  }
}

/** Judges another process by its id. Never throws. */
export async function processState(id: ProcessId): Promise<ProcessState> {
  const [boot, namespace, pid = '', startTime] = id.split(':')
  try {
    // Another boot id may be another host as well as an earlier boot of this one.
    if (boot !== (await bootId()) || namespace !== (await pidNamespace())) return 'unknown'
    // Where /proc hides other users' processes, a missing one proves nothing.
    await stat('/proc/1')
  } catch {
    return 'unknown'
  }
  if (!/^\d+$/.test(pid)) return 'dead'
  try {
    const seen = parseStat(await readFile(`/proc/${pid}/stat`, 'utf8'))
    return seen.startTime === startTime && !'ZXx'.includes(seen.state) ? 'alive' : 'dead'
  } catch {
    return 'dead'
  }
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}

/** Process ids mean something only inside their namespace. */
async function pidNamespace(): Promise<string> {
  return /\d+/.exec(await readlink('/proc/self/ns/pid'))?.[0] ?? ''
}

/** Takes apart /proc/PID/stat; the name in its second field may hold blanks and brackets. */
function parseStat(text: string): { pid: string; state: string; startTime: string } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { pid: text.slice(0, text.indexOf(' ')), state: fields[0] ?? '', startTime: fields[19] ?? '' }
}
