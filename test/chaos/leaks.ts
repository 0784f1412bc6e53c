import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import type { World } from '../support/faults/world.ts'
import type { Violation } from './history.ts'

/** What dead runners left is gone when another has lived for so long. */
const CLEAN_WITHIN_MS = 60_000

interface Listed {
  Names: string[]
  State: string
  Labels: Record<string, string>
}

/** Containers, networks and volumes of an engine that nobody but runners has used; each in words. */
export async function leftovers(engine: Engine): Promise<string[]> {
  const all = { query: { all: '1' } }
  const containers = (await engine.json('GET', '/containers/json', all)) as Listed[]
  const networks = (await engine.json('GET', '/networks')) as { Name: string }[]
  const volumes = (await engine.json('GET', '/volumes')) as { Volumes: { Name: string }[] | null }
  return [
    ...containers.map(({ Names, State, Labels }) => {
      const owner = Labels['org.opthub.runner.owner'] ?? 'nobody'
      return `container ${Names[0] ?? ''} (${State}, of ${owner})`
    }),
    ...networks
      .filter(({ Name }) => !['bridge', 'host', 'none'].includes(Name))
      .map(({ Name }) => `network ${Name}`),
    ...(volumes.Volumes ?? []).map(({ Name }) => `volume ${Name}`),
  ]
}

/**
 * To be called when all runners of a world have ended, the last of them (`orderly`, by pid) in order and without faults:
 * of those nothing may be left, and of the others nothing once a runner has lived again for a minute.
 */
export async function judgeLeaks(world: World, orderly: readonly number[]): Promise<Violation[]> {
  const violations: Violation[] = []
  for (const what of await leftovers(world.engine)) {
    if (orderly.some((pid) => what.includes(`:${String(pid)}:`)))
      violations.push({ rule: 'leaked', what: `${what}, after the orderly end of its runner` })
  }
  const sweeper = world.startRunner({ kind: 'evaluator', name: 'sweeper' })
  const until = performance.now() + CLEAN_WITHIN_MS
  while (performance.now() < until) {
    const foreign = (await leftovers(world.engine)).filter(
      (what) => !what.includes(`:${String(sweeper.pid)}:`),
    )
    if (foreign.length === 0 && sweeper.said('Ready')) break
    await delay(200)
  }
  sweeper.signal('SIGTERM')
  await sweeper.ended
  for (const what of await leftovers(world.engine)) violations.push({ rule: 'leaked', what })
  for (const file of await readdir(join(world.folder, 'tmp'))) {
    violations.push({ rule: 'leaked', what: `${file} in the folder for temporary files` })
  }
  return violations
}
