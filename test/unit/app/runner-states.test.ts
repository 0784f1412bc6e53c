import { expect, test } from 'vitest'
import { RunnerStates } from '../../../src/app/runner-states.ts'
import { createLogger } from '../../../src/core/log.ts'
import { fromPlain } from '../../../src/core/json.ts'
import { readRunnerState, runnerStateItem, runnersOf } from '../../../src/records/runner-state.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { MemoryStore } from '../../support/memory-store.ts'

const HOUR = 3_600_000

function open() {
  const store = new MemoryStore()
  const clock = new ManualClock()
  const states = new RunnerStates(
    'code-exec',
    'box',
    store,
    createLogger(() => undefined),
    clock,
  )
  const item = () => store.partition(runnersOf('code-exec'))[0] ?? {}
  return { store, clock, states, item }
}

test('a runner that goes on as it is says so again, in time', async () => {
  const { clock, states, item } = open()
  states.stateChanged('starting')
  await settle()
  expect(item()).toEqual({})
  states.stateChanged('polling')
  await settle()
  const first = item()
  expect(readRunnerState(first, clock.date())).toEqual({ processName: 'box', state: 'polling', reason: '' })

  await clock.advance(48 * HOUR)
  expect(readRunnerState(first, clock.date())).toBeUndefined()
  expect(readRunnerState(item(), clock.date())).toMatchObject({ state: 'polling' })
  expect(item()['Since']).toBe(first['Since'])

  states.stateChanged('paused', 'disk')
  await clock.advance(48 * HOUR)
  expect(readRunnerState(item(), clock.date())).toMatchObject({ state: 'paused', reason: 'disk' })
  await states.settle()
})

test('a table that fails now and then is told the next time', async () => {
  const { store, clock, states, item } = open()
  let fails = true
  store.before = () => {
    if (fails) throw new Error('throttled')
  }
  states.stateChanged('polling')
  await clock.advance(HOUR / 2)
  expect(item()).toEqual({})
  fails = false
  await clock.advance(HOUR)
  expect(readRunnerState(item(), clock.date())).toMatchObject({ state: 'polling' })
  await states.settle()
})

test('one that has stopped says nothing more, and is forgotten', async () => {
  const { clock, states, item } = open()
  states.stateChanged('polling')
  states.stateChanged('stopped')
  await states.settle()
  const last = item()
  expect(readRunnerState(last, clock.date())).toMatchObject({ state: 'stopped' })
  await clock.advance(24 * HOUR)
  expect(item()).toEqual(last)
  expect(readRunnerState(last, clock.date())).toBeUndefined()
})

test('what is no state of a runner, or too old, is not read', () => {
  const now = new Date('2026-11-20T12:00:00Z')
  const told = { processName: 'box', state: 'polling', reason: '' } as const
  const item = runnerStateItem('code-exec', told, { since: now, now })
  expect(readRunnerState(item, now)).toEqual(told)
  expect(readRunnerState({ ...item, ExpiresAt: fromPlain(now.getTime() / 1000) }, now)).toBeUndefined()
  expect(readRunnerState({ ...item, State: 'odd' }, now)).toBeUndefined()
})
