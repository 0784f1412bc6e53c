import { expect, test } from 'vitest'
import { Heap } from '../../../src/embedded/sqs/heap.ts'
import { QueueState, type Message, type TakeOptions } from '../../../src/embedded/sqs/queue-state.ts'

function message(seq: number, more: Partial<Message> = {}): Message {
  return {
    seq,
    sentAt: 0,
    visibleAt: 0,
    receives: 0,
    firstReceivedAt: undefined,
    receivedAt: undefined,
    receipt: undefined,
    group: undefined,
    deduplicationId: undefined,
    source: undefined,
    receivesBefore: undefined,
    ...more,
  }
}

let receipts = 0
function options(now: number, more: Partial<TakeOptions> = {}): TakeOptions {
  return {
    now,
    max: 10,
    visibilityMs: 100,
    retentionMs: 10_000,
    maxReceives: undefined,
    newReceipt: () => `receipt ${String((receipts += 1))}`,
    ...more,
  }
}

function taken(state: QueueState, now: number, more: Partial<TakeOptions> = {}): number[] {
  return state.take(options(now, more)).leases.map(({ message: { seq } }) => seq)
}

test('a heap gives back what it got in order', () => {
  const heap = new Heap<number>((a, b) => a - b)
  const values = Array.from({ length: 500 }, (_, index) => (index * 7919) % 263)
  for (const value of values) heap.push(value)
  expect(heap.size).toBe(500)
  const popped = values.map(() => heap.pop())
  expect(popped).toEqual([...values].sort((a, b) => a - b))
  expect(heap.pop()).toBeUndefined()
})

test('messages come in order, are away while in flight, and come back in their place', () => {
  const state = new QueueState(false)
  for (const seq of [3, 1, 2]) state.add(message(seq), 0)
  expect(taken(state, 0, { max: 2 })).toEqual([1, 2])
  expect(taken(state, 99)).toEqual([3])
  expect(state.nextVisibleAt()).toBe(100)
  expect(taken(state, 100)).toEqual([1, 2])
  expect(state.count(100, 10_000)).toEqual({ visible: 0, inFlight: 3, delayed: 0 })
})

test('a delayed message is not in flight', () => {
  const state = new QueueState(false)
  state.add(message(1, { visibleAt: 50 }), 0)
  expect(taken(state, 49)).toEqual([])
  expect(state.count(49, 10_000)).toEqual({ visible: 0, inFlight: 0, delayed: 1 })
  expect(taken(state, 50)).toEqual([1])
})

test('a message renewed to the very same time is handed out once', () => {
  const state = new QueueState(false)
  const only = message(1)
  state.add(only, 0)
  taken(state, 0)
  state.setVisibleAt(only, 200, 10)
  state.setVisibleAt(only, 200, 10)
  expect(taken(state, 150)).toEqual([])
  expect(taken(state, 200)).toEqual([1])
  expect(taken(state, 200)).toEqual([])
})

test('a message removed in flight does not come back', () => {
  const state = new QueueState(false)
  const only = message(1)
  state.add(only, 0)
  taken(state, 0)
  state.remove(only)
  expect(state.nextVisibleAt()).toBeUndefined()
  expect(taken(state, 1000)).toEqual([])
})

test('a receive that nobody got leaves no trace', () => {
  const state = new QueueState(false)
  state.add(message(1), 0)
  const [first] = state.take(options(0)).leases
  const [second] = state.take(options(100)).leases
  if (first === undefined || second === undefined) throw new Error('nothing taken')
  expect(second.message).toMatchObject({ receives: 2, firstReceivedAt: 0, receivedAt: 100 })
  expect(state.giveBack(first, 120), 'overtaken by the second receive').toBe(false)
  expect(state.giveBack(second, 120)).toBe(true)
  expect(second.message).toMatchObject({
    receives: 1,
    firstReceivedAt: 0,
    receivedAt: 0,
    receipt: first.receipt,
  })
  expect(state.giveBack(second, 120)).toBe(false)
  expect(taken(state, 120)).toEqual([1])
})

test('a receive that was acted upon is not taken back', () => {
  const state = new QueueState(false)
  state.add(message(1), 0)
  const [lease] = state.take(options(0)).leases
  if (lease === undefined) throw new Error('nothing taken')
  state.setVisibleAt(lease.message, 500, 10)
  expect(state.giveBack(lease, 20)).toBe(false)
  expect(taken(state, 400)).toEqual([])
})

test('messages received too often and messages too old are sorted out, without using up the receive', () => {
  const state = new QueueState(false)
  state.add(message(1, { receives: 3 }), 0)
  state.add(message(2), 0)
  state.add(message(3, { sentAt: 5000 }), 0)
  const { leases, dead, expired } = state.take(options(10_000, { max: 1, maxReceives: 3 }))
  expect(leases.map(({ message: { seq } }) => seq)).toEqual([3])
  expect(expired.map(({ seq }) => seq)).toEqual([1, 2])
  expect(dead).toEqual([])
  state.add(message(4, { receives: 3, sentAt: 9000 }), 10_000)
  expect(state.take(options(10_000, { maxReceives: 3 })).dead.map(({ seq }) => seq)).toEqual([4])
})

test('receives in the queues that a message came from do not count', () => {
  const state = new QueueState(false)
  state.add(message(1, { receives: 5, receivesBefore: 3 }), 0)
  expect(taken(state, 0, { maxReceives: 3 })).toEqual([1])
  const { leases, dead } = state.take(options(100, { maxReceives: 3 }))
  expect(leases).toEqual([])
  expect(dead.map(({ seq }) => seq)).toEqual([1])
})

test('messages too old are not counted and go, but not those that somebody has', () => {
  const state = new QueueState(false)
  for (const seq of [1, 2]) state.add(message(seq), 0)
  state.add(message(3, { sentAt: 5000 }), 0)
  expect(taken(state, 9950, { max: 1 })).toEqual([1])
  expect(state.count(10_000, 10_000)).toEqual({ visible: 1, inFlight: 1, delayed: 0 })
  expect(state.expire(10_000, 10_000).map(({ seq }) => seq)).toEqual([2])
  expect([...state.all()].map(({ seq }) => seq)).toEqual([1, 3])
  expect(state.expire(10_050, 10_000).map(({ seq }) => seq)).toEqual([1])
  expect(taken(state, 10_050)).toEqual([3])
})

test('a FIFO group waits for its message in flight, also after a restart', () => {
  const state = new QueueState(true)
  state.add(message(1, { group: 'a', visibleAt: 100, receipt: 'earlier', receives: 1 }), 0)
  state.add(message(2, { group: 'a' }), 0)
  state.add(message(3, { group: 'b' }), 0)
  expect(taken(state, 0)).toEqual([3])
  expect(taken(state, 100)).toEqual([1, 2, 3])
})

test('on a standard queue groups hold nothing back', () => {
  const state = new QueueState(false)
  state.add(message(1, { group: 'a' }), 0)
  state.add(message(2, { group: 'a' }), 0)
  expect(taken(state, 0, { max: 1 })).toEqual([1])
  expect(taken(state, 0, { max: 1 })).toEqual([2])
})

test('random use keeps every message exactly once, visible or not', () => {
  const state = new QueueState(false)
  const alive = new Set<number>()
  let seed = 42
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % below
  }
  for (let now = 0; now < 3000; now += 1) {
    if (random(3) === 0) {
      state.add(message(now, { sentAt: now, visibleAt: now + random(2) * random(50) }), now)
      alive.add(now)
    }
    for (const lease of state.take(options(now, { max: 1 + random(3), visibilityMs: random(60) })).leases) {
      const act = random(4)
      if (act === 0) {
        state.remove(lease.message)
        alive.delete(lease.message.seq)
      } else if (act === 1) state.giveBack(lease, now)
      else if (act === 2 && lease.message.visibleAt > now)
        state.setVisibleAt(lease.message, now + random(80), now)
    }
  }
  const rest = taken(state, 3100, { max: 10_000, retentionMs: 1_000_000 })
  expect(new Set(rest)).toEqual(alive)
  expect(rest).toHaveLength(alive.size)
})
