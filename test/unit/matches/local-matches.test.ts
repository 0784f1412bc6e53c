import { describe, expect, it } from 'vitest'
import { NotYetError } from '../../../src/core/errors.ts'
import { createLocalMatchSource } from '../../../src/matches/local/local-matches.ts'

const ID = '0B0F7F0C-58b1-4ce5-a5d4-6e5f1f3f6f11'
const signal = new AbortController().signal

describe('createLocalMatchSource', () => {
  const source = createLocalMatchSource({
    [ID]: {
      problem: { image: 'p', command: ['run'], environment: { A: '1', API_KEY: 'abcdefgh' }, timeout: 5 },
      direction: 'maximize',
    },
    '*': { indicator: { image: 'any', limits: { pids: 10 }, gpus: 0 } },
  })

  it('finds a match by its id in any case of letters, bare or as in keys', async () => {
    for (const id of [ID, ID.toLowerCase(), `Match#${ID}`]) {
      const match = await source.resolve(id, signal)
      expect(match.direction).toBe('maximize')
      expect(match.problem).toEqual({
        image: 'p',
        command: ['run'],
        environment: { A: '1', API_KEY: 'abcdefgh' },
        timeoutSeconds: 5,
        secrets: ['abcdefgh'],
      })
      expect(match.indicator).toBeUndefined()
    }
  })

  it('takes * for all others', async () => {
    expect(await source.resolve('other', signal)).toEqual({
      id: 'other',
      direction: 'minimize',
      indicator: { image: 'any', environment: {}, limits: { pids: 10 }, gpus: 0 },
    })
  })

  it('parks what it does not know, and says what to do', async () => {
    const empty = createLocalMatchSource({ [ID]: {} })
    const unknown = empty.resolve('toString', signal)
    await expect(unknown).rejects.toThrow(NotYetError)
    await expect(unknown).rejects.toThrow(/toString is not known.*`matches:`.*`opthub-runner login`/)
    await expect(unknown).rejects.toMatchObject({ retryAfterSeconds: 60 })
  })
})
