import { expect, test } from 'vitest'
import type { Table } from '../../../src/app/table.ts'
import { queueTrial, submitSolution } from '../../../src/cli/submission.ts'
import { solutionItem } from '../../../src/records/solution.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { MemoryQueue } from '../../support/memory-queue.ts'
import { MemoryStore } from '../../support/memory-store.ts'

const WHO = { matchId: '0f8fad5b-d9cb-469f-a165-70867728950e', participantId: 'User#a' }
const { signal } = new AbortController()

/** A table that holds the solutions `trialNos`, and its queue. */
function bench(...trialNos: string[]) {
  const store = new MemoryStore()
  for (const trialNo of trialNos) {
    const submission = { userId: 'User#a', variable: null, createdAt: new Date(0) }
    store.add(solutionItem({ ...WHO, trialNo }, submission))
  }
  const queue = new MemoryQueue(new ManualClock())
  const table: Table = { store, queue: () => queue, reactive: false, close: () => Promise.resolve() }
  return {
    trialNos: () => store.partition(`Solutions#Match#${WHO.matchId}#User#a`).map(({ Trial }) => Trial),
    queued: () => queue.messages.map(({ body }) => (JSON.parse(body) as { TrialNo: string }).TrialNo),
    submit: async (trialNo?: string) =>
      (
        await submitSolution(
          table,
          { ...WHO, variable: null, ...(trialNo !== undefined && { trialNo }) },
          signal,
        )
      ).trialNo,
    queueAgain: (trialNo: string) => queueTrial(table, { ...WHO, trialNo }, signal),
  }
}

test.each([
  ['of an empty series', [], '3', '00003'],
  ['of a series of five digits', ['00001'], '2', '00002'],
  ['of a series of two digits', ['01'], '2', '02'],
  ['that the first one says, if less', [], '0001', '0001'],
  ['that the first one says, if more', [], '000001', '000001'],
  ['that the first one has', [], '1234567', '1234567'],
])('a trial number gets the width %s', async (_, stored, given, filled) => {
  const { submit, trialNos, queued } = bench(...stored)
  expect(await submit(given)).toBe(filled)
  expect(trialNos()).toEqual([...stored, filled])
  expect(queued()).toEqual([filled])
})

test('a short trial number does not stand for a second solution of a trial', async () => {
  const { submit, trialNos } = bench('00001')
  await expect(submit('1')).rejects.toThrow('Trial 00001 of User#a has a solution already')
  expect(trialNos()).toEqual(['00001'])
  expect(await submit()).toBe('00002')
})

test('a trial number that is wider than the series is refused', async () => {
  const { submit, trialNos, queued } = bench('01')
  await expect(submit('001')).rejects.toMatchObject({
    what: 'Trial number 001 is too wide for User#a',
    exitCode: 2,
  })
  expect(trialNos()).toEqual(['01'])
  expect(queued()).toEqual([])
})

test('only a solution that is stored is queued again', async () => {
  const { queueAgain, queued } = bench('00001')
  await queueAgain('00001')
  await expect(queueAgain('00099')).rejects.toMatchObject({
    what: 'Trial 00099 of User#a has no solution',
    exitCode: 1,
  })
  expect(queued()).toEqual(['00001'])
})
