import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder } from '../../../src/core/make-folder.ts'

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'make-folder-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

test('makes the folders above, with the same rights, and takes one that is there', async () => {
  const folder = join(root, 'a', 'b', 'c')
  await makeFolder(folder, 0o700)
  await makeFolder(folder, 0o700)
  for (const made of [folder, join(root, 'a', 'b'), join(root, 'a')]) {
    const { mode } = await stat(made)
    expect(mode & 0o777).toBe(0o700)
  }
})

test('many at once make one', async () => {
  const folder = join(root, 'many', 'b', 'c', 'd')
  await Promise.all(Array.from({ length: 20 }, () => makeFolder(folder)))
  expect((await stat(folder)).isDirectory()).toBe(true)
})

test('says what is in the way', async () => {
  await writeFile(join(root, 'file'), '')
  await expect(makeFolder(join(root, 'file'))).rejects.toMatchObject({ code: 'EEXIST' })
  await expect(makeFolder(join(root, 'file', 'below'))).rejects.toMatchObject({ code: 'EEXIST' })
})

test.runIf(process.platform === 'linux')('ends where nothing can be made', async () => {
  await expect(makeFolder('/proc/nope/below')).rejects.toMatchObject({ code: 'ENOENT' })
})
