import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Database, DatabaseLockedError, withPrefix } from '../../../src/embedded/database.ts'

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'database-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

test('writes apply in the order of their calls, each as a whole', async () => {
  const database = await Database.open(await folder())
  const writes = Array.from({ length: 50 }, (_, index) =>
    database.write([
      { type: 'put', key: 'last', value: index },
      { type: 'put', key: `a~${String(index).padStart(2, '0')}`, value: index },
    ]),
  )
  await database.flushed()
  expect(await database.get('last')).toBe(49)
  await Promise.all(writes)
  const keys: string[] = []
  for await (const key of database.keys(withPrefix('a~'))) keys.push(key)
  expect(keys).toHaveLength(50)
  await database.close()
})

test('a second opener in the same process is refused and does no harm to the first', async () => {
  const path = await folder()
  const database = await Database.open(path)
  await expect(Database.open(path)).rejects.toBeInstanceOf(DatabaseLockedError)
  await database.write([{ type: 'put', key: 'a', value: 1 }])
  await database.close()
  const again = await Database.open(path)
  expect(await again.get('a')).toBe(1)
  await again.close()
})

test('a failed write is told of once, and nothing is written after it', async () => {
  const database = await Database.open(await folder())
  const failures: Error[] = []
  database.onFailure = (error) => failures.push(error)
  const unwritable = {
    toJSON: () => {
      throw new Error('no JSON')
    },
  }
  const first = database.write([{ type: 'put', key: 'a', value: unwritable }])
  await expect(first).rejects.toThrow('no JSON')
  await expect(database.write([{ type: 'put', key: 'b', value: 1 }])).rejects.toThrow('no JSON')
  expect(await database.get('b')).toBeUndefined()
  expect(failures).toHaveLength(1)
  await database.close()
})

test('what comes after the end is refused', async () => {
  const database = await Database.open(await folder())
  await database.close()
  await expect(database.write([])).rejects.toThrow('closed')
})
