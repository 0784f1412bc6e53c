import { getEventListeners } from 'node:events'
import { expect, it } from 'vitest'
import { childSignal } from '../../../src/core/child-signal.ts'

it('ends with the first of its parents, for its reason, or by a cut', () => {
  const [first, second] = [new AbortController(), new AbortController()]
  const child = childSignal(first.signal, second.signal)
  const other = childSignal(first.signal)
  second.abort('second')
  expect(child.signal.reason).toBe('second')
  expect(other.signal.aborted).toBe(false)
  other.cut('enough')
  expect(other.signal.reason).toBe('enough')
  expect(childSignal(first.signal, second.signal).signal.reason).toBe('second')
})

it('leaves nothing in a parent once it is freed', () => {
  const parent = new AbortController()
  const { signal, free } = childSignal(parent.signal)
  expect(getEventListeners(parent.signal, 'abort')).toHaveLength(1)
  free()
  expect(getEventListeners(parent.signal, 'abort')).toEqual([])
  parent.abort()
  expect(signal.aborted).toBe(false)
})
