import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A program `ssh` on a PATH of its own that runs the command on this machine instead of another. */
export interface StandInSsh extends AsyncDisposable {
  /** For the process that calls ssh. */
  environment: Record<string, string>
  /** The arguments of each call so far. */
  calls(): Promise<string[]>
  /** Pids of all that it started so far. */
  pids(): Promise<number[]>
}

/** `script` stands where the connection is made: by default it runs the command in a shell, as sshd does. */
export async function createSsh(engineHost: string, script = 'exec sh -c "$*"'): Promise<StandInSsh> {
  const folder = await mkdtemp(join(tmpdir(), 'opthub-ssh-'))
  const bin = join(folder, 'bin')
  await mkdir(bin)
  await writeFile(
    join(bin, 'ssh'),
    `#!/bin/sh
echo "$*" >> '${folder}/calls'
echo "$$" >> '${folder}/pids'
while [ "$1" != -- ]; do shift; done
shift 2
DOCKER_HOST='${engineHost}'
export DOCKER_HOST
${script}
`,
  )
  await chmod(join(bin, 'ssh'), 0o755)
  const lines = async (name: string): Promise<string[]> =>
    (await readFile(join(folder, name), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')
  return {
    environment: { PATH: `${bin}:${process.env['PATH'] ?? ''}` },
    calls: () => lines('calls'),
    pids: async () => (await lines('pids')).map(Number),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}

/** Those of them that run, or that we have not buried. */
export function alive(pids: readonly number[]): number[] {
  return pids.filter((pid) => {
    const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ''
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return stat !== '' && (state !== 'Z' || parent === String(process.pid))
  })
}
