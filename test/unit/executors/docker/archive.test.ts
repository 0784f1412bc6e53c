import { expect, it } from 'vitest'
import { StoppedError } from '../../../../src/core/errors.ts'
import { archiveOf } from '../../../../src/executors/docker/walls/archive.ts'
import type { Task, Workdir } from '../../../../src/executors/executor.ts'

const workdir = { spec: { path: '/box', bytes: 1000, inodes: 10, uid: 1 }, id: 'w' } as Workdir

it('whose end nobody tells can be given up', async () => {
  const stop = new AbortController()
  let isGone = false
  const task = {
    name: 'archive-1',
    // Not only read: whoever waits for the end comes after that.
    output: async function* () {
      yield await Promise.resolve({ stream: 'stdout' as const, data: new Uint8Array(1024) })
    },
    wait: () => {
      queueMicrotask(() => {
        stop.abort(new StoppedError('now'))
      })
      return new Promise(() => undefined)
    },
    [Symbol.asyncDispose]: () => {
      isGone = true
      return Promise.resolve()
    },
  } as unknown as Task
  const start = (): Promise<Task> => Promise.resolve(task)
  const read = async (): Promise<void> => {
    for await (const data of archiveOf(workdir, { image: 'x', limits: {}, start }, stop.signal))
      expect(data).toHaveLength(1024)
  }
  await expect(read()).rejects.toThrow(StoppedError)
  expect(isGone).toBe(true)
})
