import { getMaxListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { sideBySide } from '../../../src/kinds/reads.ts'

describe('sideBySide', () => {
  it('lets any number of reads listen to its signal without a warning', async () => {
    const limit = await sideBySide(new AbortController().signal, (start) =>
      start((signal) => Promise.resolve(getMaxListeners(signal))),
    )
    expect(limit).toBe(0)
  })

  it('cuts off what is still under way when the work ends', async () => {
    const signal = await sideBySide(new AbortController().signal, (start) =>
      start((signal) => Promise.resolve(signal)),
    )
    expect(signal.aborted).toBe(true)
  })

  it('passes on the abort of its parent', async () => {
    const parent = new AbortController()
    await sideBySide(parent.signal, async (start) => {
      const signal = await start((signal) => Promise.resolve(signal))
      parent.abort(new Error('enough'))
      expect(signal.reason).toEqual(new Error('enough'))
    })
  })
})
