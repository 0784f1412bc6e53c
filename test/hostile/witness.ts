import { readdirSync, existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { jsonLines } from '../../src/executors/docker/api/json-lines.ts'

/** A container that was made for a job. */
interface Seen {
  id: string
  name: string
  volumes: readonly string[]
  cgroupParent: string
}

const GROUPS = '/sys/fs/cgroup'
const PROCESS_LABEL = 'org.opthub.runner.process'
/** What is removed behind a job's back takes its time on a busy machine. */
const REMOVAL_MS = 30_000

/** Sees which containers, volumes and control groups come into being for a runner, and what is left of them. */
export class Witness {
  readonly #engine: Engine
  readonly #filter: string
  readonly #seen = new Map<string, Promise<Seen | undefined>>()
  readonly #closed = new AbortController()

  private constructor(engine: Engine, processName: string) {
    this.#engine = engine
    this.#filter = `${PROCESS_LABEL}=${processName}`
  }

  /** Sees what is made from now on. */
  static open(engine: Engine, processName: string): Witness {
    const witness = new Witness(engine, processName)
    witness.#follow().catch(() => undefined)
    return witness
  }

  close(): void {
    this.#closed.abort()
  }

  /** What there still is of a job after some time to tidy up: in words, none when all is gone. */
  async leftovers(jobId: string): Promise<string[]> {
    const all = (await Promise.all(this.#seen.values())).filter((each) => each !== undefined)
    const own = all.filter(({ name }) => name.includes(jobId))
    const volumes = new Set(own.flatMap((each) => each.volumes))
    // The keeper of its working folder, and whoever read it.
    const related = all.filter((each) => own.includes(each) || each.volumes.some((name) => volumes.has(name)))
    return await untilNone(async () => [
      ...(await this.#containers(related.map(({ id }) => id))),
      ...(await this.#volumes([...volumes])),
      ...(await processesOf(related.map(({ id }) => id))),
      ...groupsLeft(related.map(({ cgroupParent }) => cgroupParent)),
    ])
  }

  /** How many containers it has seen of a job. */
  async count(jobId: string): Promise<number> {
    const all = await Promise.all(this.#seen.values())
    return all.filter((each) => each?.name.includes(jobId)).length
  }

  /** What there still is of all jobs together, whoever it belongs to. */
  async allLeftovers(): Promise<string[]> {
    return await untilNone(async () => [
      ...(await this.#containers(undefined)),
      ...(await this.#volumes(undefined)),
      ...(await processesOf([...this.#seen.keys()])),
      ...groupsOfThisProcess(),
    ])
  }

  async #follow(): Promise<void> {
    const filters = JSON.stringify({ type: ['container'], event: ['create'], label: [this.#filter] })
    const since = Math.floor(Date.now() / 1000).toString()
    const { signal } = this.#closed
    const query = { filters, since }
    // The engine answers when there is something to tell.
    const events = await this.#engine.open('GET', '/events', { query, silenceMs: 0, signal })
    for await (const event of jsonLines(events, this.#engine.label)) {
      const { id } = event as { id: string }
      this.#seen.set(
        id,
        this.#look(id).catch(() => undefined),
      )
    }
  }

  async #look(id: string): Promise<Seen> {
    const { Name, Mounts, HostConfig } = (await this.#engine.json('GET', `/containers/${id}/json`)) as {
      Name: string
      Mounts: { Type: string; Name?: string }[]
      HostConfig: { CgroupParent?: string }
    }
    const volumes = Mounts.flatMap((mount) =>
      mount.Type === 'volume' && mount.Name !== undefined ? [mount.Name] : [],
    )
    return { id, name: Name, volumes, cgroupParent: HostConfig.CgroupParent ?? '' }
  }

  async #containers(ids: readonly string[] | undefined): Promise<string[]> {
    const filters = JSON.stringify({ label: [this.#filter] })
    const query = { all: 'true', filters }
    const there = (await this.#engine.json('GET', '/containers/json', { query })) as {
      Id: string
      Names: string[]
    }[]
    return there
      .filter(({ Id }) => ids?.includes(Id) ?? true)
      .map(({ Names }) => `container ${String(Names[0])}`)
  }

  async #volumes(names: readonly string[] | undefined): Promise<string[]> {
    const query = { filters: JSON.stringify({ label: [this.#filter] }) }
    const { Volumes } = (await this.#engine.json('GET', '/volumes', { query })) as {
      Volumes: { Name: string }[] | null
    }
    return (Volumes ?? [])
      .filter(({ Name }) => names?.includes(Name) ?? true)
      .map(({ Name }) => `volume ${Name}`)
  }
}

async function untilNone(look: () => Promise<string[]>): Promise<string[]> {
  const until = performance.now() + REMOVAL_MS
  for (;;) {
    const found = await look()
    if (found.length === 0 || performance.now() > until) return found
    await delay(200)
  }
}

/** By their control groups, which no process within walls can leave. */
async function processesOf(containerIds: readonly string[]): Promise<string[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(
    pids.map(async (pid) => {
      const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')
      return containerIds.some((id) => groups.includes(id)) ? `process ${pid}` : ''
    }),
  )
  return found.filter((each) => each !== '')
}

/** The one tree of groups, and those of each sort of resource. */
function trees(): string[] {
  if (!existsSync(GROUPS)) return []
  const folders = readdirSync(GROUPS, { withFileTypes: true }).filter((each) => each.isDirectory())
  return [GROUPS, ...folders.map(({ name }) => join(GROUPS, name))]
}

function groupsLeft(parents: readonly string[]): string[] {
  const paths = parents
    .filter((each) => each !== '')
    .flatMap((parent) => trees().map((tree) => join(tree, parent)))
  return paths.filter((path) => existsSync(path)).map((path) => `control group ${path}`)
}

function groupsOfThisProcess(): string[] {
  const mine = new RegExp(`^opthub-runner_.*_${String(process.pid)}_`)
  return trees().flatMap((tree) =>
    readdirSync(tree)
      .filter((name) => mine.test(name))
      .map((name) => `control group ${join(tree, name)}`),
  )
}
