import { readdir, readFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { RetryableError } from '../../../../src/core/errors.ts'
import { bindFiles, saysUnseen } from '../../../../src/kinds/code-exec/bound-files.ts'

/** Folders of this process. */
async function folders(): Promise<string[]> {
  return (await readdir(tmpdir())).filter(
    (name) => name.startsWith('opthub-runner-code-') && name.includes(`_${String(process.pid)}_`),
  )
}

test('files are bound one by one, and go with their binding', async () => {
  const bound = await bindFiles([{ path: 'in/a', content: Buffer.from('é') }], '/work')
  expect(bound.mounts).toMatchObject([{ target: '/work/in/a', readOnly: true }])
  const source = bound.mounts[0]?.source ?? ''
  expect(await readFile(source, 'utf8')).toBe('é')
  expect((await stat(source)).mode & 0o777).toBe(0o644)
  await bound[Symbol.asyncDispose]()
  expect(await folders()).toEqual([])
})

test('a disk without room is what is told, and nothing is left on it', async () => {
  let isWritten = false
  // In the place of bytes: what `writeFile` takes them from just as well.
  async function* slow(): AsyncGenerator<Buffer> {
    for (let turn = 0; turn < 20; turn += 1) await nextTurn()
    yield Buffer.from('late')
    isWritten = true
  }
  async function* full(): AsyncGenerator<Buffer> {
    await nextTurn()
    throw Object.assign(new Error("no space left, write '/tmp/opthub-runner-code-x'"), { code: 'ENOSPC' })
  }
  const files = [full, slow].map((content, n) => ({
    path: String(n),
    content: content() as unknown as Buffer,
  }))
  const error: unknown = await bindFiles(files, '/work').catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(RetryableError)
  expect(error).toMatchObject({ surrounding: 'disk' })
  expect(String(error)).toContain("the files of a job can't be kept: no space left")
  // It names the folder, and yet the engine may well see it.
  expect(saysUnseen(error)).toBe(false)
  expect(isWritten).toBe(true)
  expect(await folders()).toEqual([])
})
