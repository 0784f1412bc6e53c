import { readFile } from 'node:fs/promises'
import { EXIT, messageOf, OperatorError } from '../../core/errors.ts'
import type { Tokenizer } from '../protocol.ts'

/** What texts end with in usual vocabularies, in the order in which they are looked for. */
const ENDS = [
  '<|endoftext|>',
  '</s>',
  '<|end_of_text|>',
  '<|eot_id|>',
  '<|im_end|>',
  '<eos>',
  '<|end|>',
  '[EOS]',
]
/** Of their configuration, which is not asked for: code must come back as it is, with its spaces. */
const SETTINGS = { clean_up_tokenization_spaces: false }

/** As far as it is used here; the package's own types name each other in a way that Node's rules don't resolve. */
interface Library {
  Tokenizer: new (
    file: object,
    settings: object,
  ) => {
    encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] }
    decode(
      ids: number[],
      options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
    ): string
    token_to_id(token: string): number | undefined
  }
}

/** Reads a tokenizer.json. OperatorError when there is none, or it is of a sort that isn't known. */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  try {
    const text = await readFile(path, 'utf8')
    const file: unknown = JSON.parse(text)
    if (typeof file !== 'object' || file === null || !('model' in file)) throw new Error('it has no model')
    const library = (await import('@huggingface/tokenizers')) as unknown as Library
    const vocabulary = new library.Tokenizer(file, SETTINGS)
    const endId = ENDS.map((token) => vocabulary.token_to_id(token)).find((id) => id !== undefined)
    return {
      endId,
      encode: (text, isWhole) => vocabulary.encode(text, { add_special_tokens: isWhole }).ids,
      // The library refuses an empty list.
      decode: (ids) => {
        if (ids.length === 0) return ''
        return vocabulary.decode([...ids], { skip_special_tokens: true, clean_up_tokenization_spaces: false })
      },
    }
  } catch (error) {
    throw new OperatorError(
      `tokenizer ${path} can't be read`,
      messageOf(error),
      'Name a file in the tokenizer.json format, as it lies beside the model.',
      EXIT.config,
      { cause: error },
    )
  }
}
