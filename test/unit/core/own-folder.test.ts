import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { RetryableError } from '../../../src/core/errors.ts'
import { diskError, makeOwnFolder, removeOrphanFolders } from '../../../src/core/own-folder.ts'
import { currentProcessId } from '../../../src/core/process-id.ts'

test('a folder lives as long as its process', async () => {
  const prefix = `own-folder-${crypto.randomUUID()}-`
  const own = await makeOwnFolder(prefix)
  const id = await currentProcessId()
  // Another process of this machine, which had our number at another time.
  const dead = own.replace(`_${id?.split(':').at(-1) ?? ''}_`, '_1_')
  const strange = `${own.slice(0, own.indexOf(prefix) + prefix.length)}somebody_x`
  for (const folder of [dead, strange]) await mkdir(folder, { recursive: true })
  await writeFile(join(dead, 'file'), '')
  try {
    expect(own).not.toContain(':')
    await removeOrphanFolders(prefix)
    expect([own, strange].map((folder) => existsSync(folder))).toEqual([true, true])
    // Where processes have no ids nobody is known to be dead.
    expect(existsSync(dead)).toBe(id === undefined)
    await removeOrphanFolders(`${prefix}nobody`)
  } finally {
    for (const folder of [own, dead, strange]) await rm(folder, { recursive: true, force: true })
  }
})

test('a machine without room is no fault of a job', () => {
  for (const code of ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO']) {
    const cause = Object.assign(new Error('no room'), { code })
    const error = diskError(cause, 'a file')
    expect(error).toBeInstanceOf(RetryableError)
    expect(error).toMatchObject({ surrounding: 'disk', message: "a file can't be kept: no room", cause })
  }
  for (const other of [Object.assign(new Error('x'), { code: 'ENOENT' }), new Error('x'), 'x'])
    expect(diskError(other, 'a file')).toBe(other)
})
