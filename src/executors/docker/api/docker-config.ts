import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asRecord } from '../../../core/unknown-json.ts'

/** Environment variables, passed in: only the config room reads the real ones. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Where the docker CLI keeps its files: `DOCKER_CONFIG`, else `~/.docker`. */
export function dockerConfigFolder(environment: Environment): string {
  const folder = environment['DOCKER_CONFIG'] ?? ''
  if (folder !== '') return folder
  return join(environment['HOME'] ?? environment['USERPROFILE'] ?? '/', '.docker')
}

/** Docker's config.json, `{}` when there is none that can be read. */
export async function readDockerConfig(environment: Environment): Promise<Readonly<Record<string, unknown>>> {
  try {
    return asRecord(JSON.parse(await readFile(join(dockerConfigFolder(environment), 'config.json'), 'utf8')))
  } catch {
    return {}
  }
}
