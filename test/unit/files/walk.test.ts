import { execFileSync } from 'node:child_process'
import { link, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { assertApart, openRegular, pathProblem } from '../../../src/files/paths.ts'
import { walkFolder } from '../../../src/files/walk.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'walk-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

describe('a path', () => {
  it.each(['a', 'a b/é.txt', '..a', 'a..', '.hidden', '💡', 'a\\b', 'x'.repeat(255)])(
    '%j is safe',
    (path) => {
      expect(pathProblem(path)).toBeUndefined()
    },
  )

  it.each(['', '/', '/a', '.', '..', 'a/..', './a', 'a//b', 'a/', 'a\nb', 'a\0', '\ud800', 'x'.repeat(256)])(
    '%j is not',
    (path) => {
      expect(pathProblem(path)).toBeTypeOf('string')
    },
  )

  it('is for one file', () => {
    expect(() => {
      assertApart(['a', 'b', 'a'])
    }).toThrow('same path')
    expect(() => {
      assertApart(['a/b/c', 'a/b'])
    }).toThrow("can't be a file and the folder")
    expect(() => {
      assertApart(['a/b', 'a/bc', 'a-b'])
    }).not.toThrow()
  })
})

describe('a folder that a job left', () => {
  it('gives its files in order, and a word for all else', async () => {
    await mkdir(join(folder, 'out/b/c'), { recursive: true })
    for (const path of ['out/z', 'out/b/c/é', 'out/b/a b', 'real']) await writeFile(join(folder, path), path)
    await writeFile(Buffer.concat([Buffer.from(join(folder, 'out/bad-')), Buffer.from([0xff])]), '')
    await writeFile(join(folder, 'out/new\nline'), '')
    await link(join(folder, 'real'), join(folder, 'out/hard'))
    await symlink('/etc', join(folder, 'out/etc'))
    execFileSync('mkfifo', [join(folder, 'out/pipe')])
    const { files, skipped } = await walkFolder(folder, 'out')
    expect(files).toEqual([
      { path: 'out/b/a b', bytes: 9 },
      { path: 'out/b/c/é', bytes: 10 },
      { path: 'out/z', bytes: 5 },
    ])
    expect(skipped).toEqual([
      { path: 'out/bad-\ufffd', why: 'its name is no UTF-8' },
      { path: 'out/etc', why: 'a symbolic link' },
      { path: 'out/hard', why: 'a hard link' },
      { path: 'out/new\nline', why: 'it holds control characters or broken Unicode' },
      { path: 'out/pipe', why: 'a named pipe' },
    ])
    expect((await walkFolder(folder, '')).files).toHaveLength(3)
    for (const path of ['out/pipe', 'out/etc', 'out/etc/passwd', 'out/hard', 'out/b']) {
      await expect(openRegular(folder, path)).rejects.toMatchObject({
        name: 'FileError',
        reason: 'not_regular',
      })
    }
    await expect(openRegular(folder, 'out/none')).rejects.toMatchObject({ reason: 'missing_output' })
    await expect(openRegular(folder, '../x')).rejects.toMatchObject({ reason: 'unsafe_path' })
  })

  it('is not read without end', async () => {
    for (let each = 0; each < 12; each += 1) await writeFile(join(folder, String(each)), '')
    await expect(walkFolder(folder, '', { maxEntries: 10 })).rejects.toMatchObject({ reason: 'too_many' })
    await expect(walkFolder(folder, '5')).rejects.toMatchObject({ reason: 'not_regular' })
    await expect(walkFolder(folder, 'x')).rejects.toMatchObject({ reason: 'missing_output' })
  })
})
