import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Environment } from './problem.ts'

/** The data folder: OPTHUB_RUNNER_HOME, else the platform's folder for user data. Absolute; may not exist yet. */
export function dataFolder(environment: Environment, platform: string): string {
  const chosen = environment['OPTHUB_RUNNER_HOME']
  if (chosen !== undefined && chosen !== '') return resolve(chosen)
  const home = homedir()
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'opthub-runner')
  if (platform === 'win32') {
    return join(environment['LOCALAPPDATA'] ?? join(home, 'AppData', 'Local'), 'opthub-runner')
  }
  const xdg = environment['XDG_DATA_HOME']
  // The XDG rules say that a relative path is to be ignored.
  return join(xdg?.startsWith('/') === true ? xdg : join(home, '.local', 'share'), 'opthub-runner')
}
