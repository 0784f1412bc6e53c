/** A tokenizer.json of bytes and a few merges, as GPT-2 and CodeGen have it, small enough to be read. */
export function tinyTokenizer(): object {
  const letters = Array.from('abcdefghijklmnopqrstuvwxyz0123456789():_=+-,.ĠĊ')
  const merges: [string, string][] = [
    ['d', 'e'],
    ['de', 'f'],
    ['Ġ', 'Ġ'],
    ['ĠĠ', 'ĠĠ'],
    ['r', 'e'],
    ['re', 't'],
    ['ret', 'u'],
    ['retu', 'r'],
    ['retur', 'n'],
  ]
  const tokens = ['<|endoftext|>', ...letters, ...merges.map((pair) => pair.join(''))]
  return {
    version: '1.0',
    added_tokens: [
      {
        id: 0,
        content: '<|endoftext|>',
        special: true,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
      },
    ],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map((pair) => pair.join(' ')),
    },
  }
}
