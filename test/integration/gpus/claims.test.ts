import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { currentProcessId } from '../../../src/core/process-id.ts'
import { GpuClaims } from '../../../src/executors/gpu-claims.ts'
import { OwnedFiles } from '../../../src/executors/owned-files.ts'
import { compileChild } from '../../support/compile-child.ts'

const A = 'GPU-aaaaaaaa-0000-0000-0000-000000000001'
const MIG = 'MIG-GPU-bbbbbbbb-0000/1/0'

const compiled = compileChild(join(import.meta.dirname, 'child.ts'), ['core', 'executors', 'queues'])
afterAll(() => {
  compiled.remove()
})

let home: string
let folder: string
const children = new Set<ChildProcess>()

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'gpu-claims-'))
  folder = join(home, 'gpus')
})

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
  await rm(home, { recursive: true, force: true })
})

function claims(): GpuClaims {
  return new GpuClaims(new OwnedFiles(folder, systemClock), systemClock)
}

/** Puts a claim there that somebody else has made. */
async function plant(uuid: string, owner: object | string): Promise<string> {
  await mkdir(folder, { recursive: true })
  const path = join(folder, `${encodeURIComponent(`gpu=${uuid}`)}.${'0123456789ab'.repeat(2)}.json`)
  await writeFile(path, typeof owner === 'string' ? owner : JSON.stringify(owner))
  return path
}

/** The id of this process, changed in one part. */
async function idWith(change: { boot?: string; namespace?: string; start?: string }): Promise<string> {
  const [boot = '', namespace = '', pid = '', start = ''] = ((await currentProcessId()) ?? '').split(':')
  return [change.boot ?? boot, change.namespace ?? namespace, pid, change.start ?? start].join(':')
}

describe('a claim', () => {
  test('is exclusive until it is released, for names of any sort', async () => {
    const [ours, theirs] = [claims(), claims()]
    for (const uuid of [A, MIG]) {
      const claim = await ours.take(uuid)
      expect(claim?.uuid).toBe(uuid)
      expect(await theirs.take(uuid)).toBeUndefined()
      expect(await ours.take(uuid)).toBeUndefined()
      expect([...(await theirs.taken())]).toEqual([uuid])
      await claim?.release()
      const again = await theirs.take(uuid)
      expect(again?.uuid).toBe(uuid)
      await again?.release()
    }
    expect(await readdir(folder)).toEqual([])
  })

  test('of a dead process counts for nothing and is removed', async () => {
    // The same pid, used again.
    const path = await plant(A, { process: await idWith({ start: '1' }), hostname: hostname(), since: '' })
    expect((await claims().take(A))?.uuid).toBe(A)
    await expect(readFile(path)).rejects.toThrow('ENOENT')
  })

  test('from before this machine was started anew counts for nothing', async () => {
    await plant(A, { process: await idWith({ boot: 'earlier' }), hostname: hostname(), since: '' })
    expect((await claims().take(A))?.uuid).toBe(A)
  })

  test('of another host or container is good while it gives signs of life', async () => {
    for (const owner of [
      { process: await idWith({ boot: 'other' }), hostname: 'elsewhere', since: '' },
      { process: await idWith({ namespace: '1' }), hostname: hostname(), since: '' },
      { hostname: 'no-linux', since: '' },
    ]) {
      const path = await plant(A, owner)
      expect(await claims().take(A)).toBeUndefined()
      const longAgo = new Date(Date.now() - 600_000)
      await utimes(path, longAgo, longAgo)
      const claim = await claims().take(A)
      expect(claim?.uuid).toBe(A)
      await claim?.release()
    }
  })

  test('torn by a crash of the machine is nobody’s', async () => {
    await plant(A, '')
    expect((await claims().take(A))?.uuid).toBe(A)
  })

  test('says why it can not be made', async () => {
    await writeFile(folder, 'a file where the folder should be')
    await expect(claims().take(A)).rejects.toThrow(/EEXIST|ENOTDIR/)
  })
})

test('many processes, some of them killed at any moment, never have one GPU at the same time', async () => {
  const uuids = [A, MIG.replaceAll('/', '-')]
  await mkdir(join(home, 'witnesses'))
  let said = ''
  function start(): void {
    const args = [compiled.script, folder, join(home, 'witnesses'), ...uuids]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    child.stdout.on('data', (part: Buffer) => (said += part.toString()))
    children.add(child)
    child.once('exit', () => children.delete(child))
  }
  const hadSoFar = (): number => (said.match(/had/g) ?? []).length
  for (let n = 0; n < 6; n += 1) start()
  for (let kills = 0; kills < 12; kills += 1) {
    while (hadSoFar() < 40 * (kills + 1)) await delay(5)
    const [oldest] = children
    oldest?.kill('SIGKILL')
    start()
  }
  const ends = [...children].map(async (child) => {
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  await Promise.all(ends)
  expect(said).not.toContain('violation')
  // What the killed ones had is free.
  const after = claims()
  for (const uuid of uuids) expect((await after.take(uuid))?.uuid).toBe(uuid)
})
