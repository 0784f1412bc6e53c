import { expect, it } from 'vitest'
import { chooseSource, needOfOptHub } from '../../../src/matches/choose-source.ts'
import type { MatchSource } from '../../../src/matches/matches.ts'

const signal = new AbortController().signal

function sourceNamed(name: string): MatchSource {
  return {
    resolve: (id) =>
      Promise.resolve({ id, direction: 'minimize', problem: { image: name, environment: {} } }),
  }
}

it('a match that the config has comes from there, in any spelling', async () => {
  const id = '0B0F7F0C-58b1-4ce5-a5d4-6e5f1f3f6f11'
  const source = chooseSource([id], sourceNamed('configured'), sourceNamed('remote'))
  for (const own of [id, id.toLowerCase(), `Match#${id}`]) {
    expect((await source.resolve(own, signal)).problem?.image).toBe('configured')
  }
  expect((await source.resolve('another', signal)).problem?.image).toBe('remote')
})

it('OptHub is needed unless the config has matches', () => {
  expect(needOfOptHub([])).toBe('required')
  expect(needOfOptHub(['x'])).toBe('possible')
  expect(needOfOptHub(['x', '*'])).toBe('none')
})
