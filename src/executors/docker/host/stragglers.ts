import { readdir, readFile } from 'node:fs/promises'
import { kill } from 'node:process'

/**
 * Kills the processes of a container that its engine takes for ended, as far as they can be seen from here: a first
 * process that is traced and stops looks to containerd like one that has exited, and lives on after the removal of
 * its container. Says how many there were; never throws.
 */
export async function killStragglers(containerId: string): Promise<number> {
  const names = await readdir('/proc').catch(() => [])
  const pids = names.filter((name) => /^\d+$/.test(name))
  const killed = await Promise.all(
    pids.map(async (pid) => {
      try {
        if (!(await readFile(`/proc/${pid}/cgroup`, 'utf8')).includes(containerId)) return false
        return kill(Number(pid), 'SIGKILL')
      } catch {
        // It has gone meanwhile, or is not ours to kill.
        return false
      }
    }),
  )
  return killed.filter(Boolean).length
}
