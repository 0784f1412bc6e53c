import { describe, expect, it } from 'vitest'
import { fromPlain, isJsonObject } from '../../../src/core/json.ts'
import { readCompletion } from '../../../src/models/completion-request.ts'
import type { Tokenizer } from '../../../src/models/protocol.ts'
import { tokenAnswer, tokenInputs } from '../../../src/models/token-ids.ts'

/** One id for each letter: a = 1. A text's first space is lost in decoding, as with SentencePiece. */
const letters: Tokenizer = {
  endId: 99,
  encode: (text) => Array.from(text, (letter) => (letter === ' ' ? 50 : letter.charCodeAt(0) - 96)),
  decode: (ids) =>
    ids
      .filter((id) => id !== 99)
      .map((id) => (id === 50 ? ' ' : String.fromCharCode(id + 96)))
      .join('')
      .replace(/^ /, ''),
}
const response = { statusCode: 200, body: '' }

function request(members: object) {
  const body = fromPlain({ prompt: 'ab', ...members })
  if (!isJsonObject(body)) throw new Error('no object')
  return readCompletion(body)
}

function answer(data: number[], shape: number[], members: object, lengths?: number[]) {
  const outputs = [{ name: 'output_ids', datatype: 'UINT32', shape, data }]
  const all =
    lengths === undefined
      ? outputs
      : [
          ...outputs,
          { name: 'sequence_length', datatype: 'UINT32', shape: [lengths.length, 1], data: lengths },
        ]
  return tokenAnswer(all, [1, 2], request(members), letters, response)
}

describe('tokenInputs', () => {
  it('gives each row its own seed', () => {
    const model = { inputs: [{ name: 'random_seed', datatype: 'UINT64', shape: [-1, 1] }], outputs: [] }
    const [seeds] = tokenInputs(model, [1], request({ n: 20 }), letters)
    expect(new Set(seeds?.data).size).toBe(20)
    expect(seeds?.datatype).toBe('UINT64')
  })

  it('names no end where the tokenizer has none', () => {
    const model = { inputs: [{ name: 'end_id', datatype: 'UINT32', shape: [-1, 1] }], outputs: [] }
    expect(tokenInputs(model, [1], request({}), letters)).toHaveLength(1)
    expect(tokenInputs(model, [1], request({}), { ...letters, endId: undefined })).toEqual([])
  })

  it('sends nothing by the name of what every object has', () => {
    const model = { inputs: [{ name: 'constructor', datatype: 'UINT32', shape: [-1] }], outputs: [] }
    expect(tokenInputs(model, [1], request({}), letters)).toEqual([])
  })
})

describe('tokenAnswer', () => {
  it('leaves out the prompt, the padding and what follows the end', () => {
    expect(answer([1, 2, 3, 4, 99, 5], [1, 1, 6], { max_tokens: 4 }, [6])).toEqual({
      choices: [{ text: 'cd', finishReason: 'stop' }],
      completionTokens: 2,
    })
    expect(answer([1, 2, 3, 4, 7, 7], [1, 1, 6], { max_tokens: 4 }, [4]).choices).toEqual([
      { text: 'cd', finishReason: 'stop' },
    ])
  })

  it('ends by length when all tokens were made', () => {
    expect(answer([1, 2, 3, 4], [1, 1, 4], { max_tokens: 2 }).choices).toEqual([
      { text: 'cd', finishReason: 'length' },
    ])
  })

  it('takes an answer that leaves out the prompt', () => {
    expect(answer([3, 4], [1, 1, 2], { max_tokens: 2 }, [2]).choices[0]?.text).toBe('cd')
  })

  it('keeps a space at the beginning', () => {
    expect(answer([1, 2, 50, 3], [1, 1, 4], { max_tokens: 2 }).choices[0]?.text).toBe(' c')
  })

  it('takes the first beam of each row', () => {
    const rows = [1, 2, 3, 1, 2, 4, 1, 2, 5, 1, 2, 6]
    const { choices } = answer(rows, [2, 2, 3], { n: 2, max_tokens: 1 }, [3, 3, 3, 3])
    expect(choices.map(({ text }) => text)).toEqual(['c', 'e'])
  })

  it('cuts at the first stop', () => {
    const { choices } = answer([1, 2, 3, 4, 5], [1, 1, 5], { max_tokens: 3, stop: ['e', 'd'] })
    expect(choices).toEqual([{ text: 'c', finishReason: 'stop' }])
  })

  it('wants a row for each completion', () => {
    expect(() => answer([1, 2, 3], [1, 1, 3], { n: 2 })).toThrow('no output_ids')
    expect(() => tokenAnswer([], [1], request({}), letters, response)).toThrow('no output_ids')
  })
})
