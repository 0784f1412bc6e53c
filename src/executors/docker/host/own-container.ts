import { readFile } from 'node:fs/promises'
import { asRecord } from '../../../core/unknown-json.ts'
import type { Engine } from '../api/engine.ts'
import { EngineError } from '../api/errors.ts'

/** What is read of the container that this process is in. */
export interface OwnContainer {
  Id: string
  State: { Running: boolean; StartedAt?: string }
  Mounts?: { Type?: string; Source?: string; Destination: string }[] | null
  HostConfig?: { NetworkMode?: string; Tmpfs?: unknown } | null
  NetworkSettings?: { Networks?: Record<string, { IPAddress?: string }> | null } | null
  GraphDriver?: unknown
}

/** The container that this process is in, as far as this very engine runs it. Throws only when it can't be asked. */
export async function ownContainer(engine: Engine): Promise<OwnContainer | undefined> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  // The engine mounts its own /etc/hostname from a folder that bears the container's id.
  const id = /[/-]containers\/([0-9a-f]{64})\/[^ ]* \/etc\/(?:hostname|hosts|resolv\.conf) /.exec(mounts)?.[1]
  if (id === undefined) return undefined
  const named = await inspect(engine, id)
  if (named?.State.Running !== true) return undefined
  // Who uses another container's network has that one's files, but a root folder of its own.
  const root = /^\S+ \S+ \S+ \S+ \/ .*[ ,]upperdir=([^, ]+)/m.exec(mounts)?.[1]
  if (root === undefined || hasRoot(named, root)) return named
  for (const guest of await guestsOf(engine, id)) {
    const other = await inspect(engine, guest)
    if (other !== undefined && hasRoot(other, root)) return other
  }
  return named
}

function hasRoot({ GraphDriver }: OwnContainer, root: string): boolean {
  const folder = asRecord(asRecord(GraphDriver)['Data'])['UpperDir']
  // The mount may be relative to the engine's folder.
  return typeof folder === 'string' && folder.endsWith(root)
}

async function inspect(engine: Engine, id: string): Promise<OwnContainer | undefined> {
  try {
    return (await engine.json('GET', `/containers/${encodeURIComponent(id)}/json`)) as OwnContainer
  } catch (error) {
    if (error instanceof EngineError && error.isByEngine && error.status === 404) return undefined
    throw error
  }
}

/** Ids of the running containers that use another one's network. */
async function guestsOf(engine: Engine, id: string): Promise<string[]> {
  const listed = (await engine.json('GET', '/containers/json')) as {
    Id: string
    HostConfig?: { NetworkMode?: string }
  }[]
  return listed.flatMap(({ Id, HostConfig }) => (HostConfig?.NetworkMode === `container:${id}` ? [Id] : []))
}
