import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PulledImages } from '../../../../src/executors/docker/images/pulled-images.ts'
import type { StoredImage } from '../../../../src/executors/docker/images/stored-image.ts'
import { compileChild } from '../../../support/compile-child.ts'

const [A, B, C] = ['a', 'b', 'c'].map((each) => `sha256:${each.repeat(64)}`) as [string, string, string]

function stored(id: string, ...tags: string[]): StoredImage {
  return { id, os: 'linux', architecture: 'amd64', variant: '', tags, digests: [], sizeBytes: 1, volumes: [] }
}

let folder: string
let pulled: PulledImages

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'pulled-')), 'not', 'there yet')
  pulled = new PulledImages(folder)
})
afterEach(() => rm(resolve(folder, '../..'), { recursive: true }))

const fileOf = (id: string): string => join(folder, id.slice(7))
async function names(images = pulled): Promise<[string, string[]][]> {
  return (await images.all()).map(({ id, names }) => [id, [...names].sort()])
}

describe('the record of pulled images', () => {
  it('knows images by all names, the one not used for the longest first', async () => {
    expect(await pulled.all()).toEqual([])
    for (const id of [A, B, C]) await pulled.note(stored(id, 'x:1'), 'docker.io/library/x:1')
    await pulled.note(stored(A, 'x:1', 'r.io/y:2'), 'r.io/y:2')
    for (const [n, id] of [B, C, A].entries()) await utimes(fileOf(id), n, 1000 + n)
    expect(await names(new PulledImages(folder))).toEqual([
      [B, ['docker.io/library/x:1']],
      [C, ['docker.io/library/x:1']],
      [A, ['docker.io/library/x:1', 'r.io/y:2']],
    ])
    await pulled.touch(B)
    expect((await pulled.all()).map(({ id }) => id)).toEqual([C, A, B])
    await pulled.forget(A)
    expect((await pulled.all()).map(({ id }) => id)).toEqual([C, B])
  })

  it('drops names that the image has no more', async () => {
    await pulled.note(stored(A, 'x:1'), 'docker.io/library/x:1')
    await pulled.note(stored(A, 'x:2'), 'docker.io/library/x:2')
    expect(await names()).toEqual([[A, ['docker.io/library/x:2']]])
  })

  it('takes no notice of what it has not written, or not to its end', async () => {
    await pulled.touch(A)
    await pulled.forget(A)
    await pulled.note(stored(A, 'x:1'), 'docker.io/library/x:1')
    await pulled.note(stored(B, 'x:1'), 'docker.io/library/x:1')
    const [torn = ''] = await readdir(fileOf(A))
    await truncate(join(fileOf(A), torn), 5)
    await writeFile(join(fileOf(B), 'f'.repeat(64)), 'docker.io/library/other:1')
    await writeFile(join(folder, 'readme'), 'x')
    expect(await names()).toEqual([[B, ['docker.io/library/x:1']]])
    // The same name again mends it.
    await pulled.note(stored(A, 'x:1'), 'docker.io/library/x:1')
    expect(await names()).toContainEqual([A, ['docker.io/library/x:1']])
  })
})

describe('several processes', () => {
  let child: ReturnType<typeof compileChild>
  beforeAll(() => {
    child = compileChild(resolve(import.meta.dirname, 'note-child.ts'), ['core', 'executors/docker'])
  })
  afterAll(() => {
    child.remove()
  })

  it('lose nothing of each other, and a kill at any instant leaves nothing wrong', async () => {
    const all = Array.from({ length: 3 }, (_, n) =>
      spawn(process.execPath, [child.script, folder, String(n)], { stdio: ['ignore', 'pipe', 'inherit'] }),
    )
    for (const [n, one] of all.entries()) {
      let said = ''
      one.stdout.on('data', (data: Buffer) => (said += data.toString()))
      await expect.poll(() => said.split('\n').length, { timeout: 15_000 }).toBeGreaterThan(20)
      const ended = once(one, 'exit')
      one.kill('SIGKILL')
      await ended
      // What it had said was noted, whatever the others did.
      const noted = new Map(await names())
      for (const name of said.split('\n').slice(0, -1)) {
        expect([...noted.values()].flat(), `process ${n}`).toContain(name)
      }
    }
    for (const [id, found] of await names()) {
      expect(id).toMatch(/^sha256:[0-9a-f]{64}$/)
      for (const name of found) expect(name).toMatch(/^r\.io\/[0-9]+:[0-9]+$/)
    }
  })
})
