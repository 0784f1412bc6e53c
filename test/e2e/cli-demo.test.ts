import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { requireEngine } from '../support/engine.ts'
import { Workplace } from '../support/run-bin.ts'

let engine: Engine | undefined

beforeAll(async () => {
  engine = await requireEngine()
})
afterAll(() => {
  engine?.close()
})

/** Containers of the demo that runs as this process. */
async function containersOf(pid: number | undefined): Promise<unknown[]> {
  const kinds = ['evaluator', 'scorer'].map((kind) => `demo-${kind}-${String(pid)}`)
  const all = (await engine?.json('GET', '/containers/json', { query: { all: 'true' } })) as {
    Labels: Record<string, string>
  }[]
  return all.filter(({ Labels }) => Object.values(Labels).some((value) => kinds.includes(value)))
}

async function startDemo(place: Workplace) {
  const temporary = join(place.folder, 'tmp')
  await mkdir(temporary)
  return { temporary, demo: place.start(['demo'], { TMPDIR: temporary }) }
}

test('the demo plays 30 trials of two participants and ends with leaderboard and plot', async ({ skip }) => {
  if (engine === undefined) return skip()
  await using place = await Workplace.create()
  const { temporary, demo } = await startDemo(place)
  expect(await demo.ended, demo.stderr()).toBe(0)
  const lines = demo.stdout().split('\n')
  expect(lines[0]).toMatch(/^rank +participant +best score +trials +failed/)
  expect(lines.filter((line) => /^ +[12] +User#\S+ +[\d.e-]+ +30 +0 /.test(line))).toHaveLength(2)
  expect(demo.stdout()).toContain('score by trial')
  expect(demo.stderr()).toContain('60 of 60 solutions are scored')
  expect(await readdir(temporary)).toEqual([])
  expect(await containersOf(demo.child.pid)).toEqual([])
})

test('a signal ends the demo at once, and nothing stays', async ({ skip }) => {
  if (engine === undefined) return skip()
  await using place = await Workplace.create()
  const { temporary, demo } = await startDemo(place)
  await expect.poll(() => demo.stderr(), { timeout: 120_000 }).toContain('10 of 60 solutions are scored')
  demo.child.kill('SIGINT')
  expect(await demo.ended).toBe(130)
  expect(demo.stdout()).toBe('')
  expect(await readdir(temporary)).toEqual([])
  expect(await containersOf(demo.child.pid)).toEqual([])
})
