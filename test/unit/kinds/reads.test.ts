import { describe, expect, it } from 'vitest'
import { sideBySide } from '../../../src/kinds/reads.ts'

describe('sideBySide', () => {
  it('lets any number of reads listen to its signal without a warning', async () => {
    const warnings: Error[] = []
    const note = (warning: Error): void => void warnings.push(warning)
    process.on('warning', note)
    await sideBySide(new AbortController().signal, (start) =>
      start(async (signal) => {
        for (let n = 0; n < 30; n += 1) signal.addEventListener('abort', () => undefined)
        // Warnings are told on the next tick.
        await new Promise((resolve) => setImmediate(resolve))
      }),
    )
    process.off('warning', note)
    expect(warnings).toEqual([])
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
