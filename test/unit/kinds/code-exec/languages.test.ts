import { describe, expect, test } from 'vitest'
import { DEFAULT_LANGUAGES, mergeLanguages } from '../../../../src/kinds/code-exec/languages.ts'

describe('languages', () => {
  test('are the known ones where the config says nothing', () => {
    expect(mergeLanguages({})).toEqual(DEFAULT_LANGUAGES)
    expect(Object.keys(DEFAULT_LANGUAGES)).toEqual(['python', 'node', 'bash', 'c', 'cpp'])
  })

  test('keep what the config leaves out', () => {
    const { python, c } = mergeLanguages({
      python: { image: 'py:1' },
      c: { image: 'tcc', compile: ['tcc', 'main.c'] },
    })
    expect(python).toEqual({ image: 'py:1', file: 'main.py', stub: 'python' })
    expect(c).toEqual({ image: 'tcc', file: 'main.c', compile: ['tcc', 'main.c'], command: ['./program'] })
  })

  test('with a command of their own get the code where it says so', () => {
    expect(mergeLanguages({ python: { command: ['pypy3', 'main.py'] } })['python']).toEqual({
      image: DEFAULT_LANGUAGES.python.image,
      file: 'main.py',
      command: ['pypy3', 'main.py'],
    })
    expect(mergeLanguages({ python: { command: ['pypy3', '-'] } })['python']).toEqual({
      image: DEFAULT_LANGUAGES.python.image,
      command: ['pypy3', '-'],
    })
  })

  test('that are new need an image and a command', () => {
    expect(mergeLanguages({ ruby: { image: 'ruby:3', command: ['ruby'] } })['ruby']).toEqual({
      image: 'ruby:3',
      command: ['ruby'],
    })
    expect(() => mergeLanguages({ ruby: { image: 'ruby:3' } })).toThrow('the language ruby needs a command')
    expect(() => mergeLanguages({ ruby: { command: ['ruby'] } })).toThrow('the language ruby needs an image')
    expect(() => mergeLanguages({ constructor: {} })).toThrow('needs an image')
  })
})
