/** Text that others wrote (names, messages), made fit for a line of a terminal. */

const UNSAFE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Cf}]/gu
/** Invisible, but parts of ordinary words and emoji in some scripts: zero-width non-joiner and joiner. */
const JOINERS = /^[\u200c\u200d]$/
/** Piles of accents and strings of joiners, far beyond what any script needs. */
const PILES = /([\p{M}\u200c\u200d]{8})[\p{M}\u200c\u200d]+/gu

/**
 * The text with control characters, escape sequences, line ends, text direction marks, other invisible characters and
 * halves of pairs spelled out, such as `\x1b` or `\u202e`: one line that can neither move the cursor nor hide itself.
 */
export function plainText(text: string): string {
  return text.replace(PILES, '$1').replace(UNSAFE, (character) => {
    if (JOINERS.test(character)) return character
    const code = character.codePointAt(0) ?? 0
    const hex = code.toString(16)
    if (code < 0x100) return `\\x${hex.padStart(2, '0')}`
    return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\u{${hex}}`
  })
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

// East Asian Wide and Fullwidth blocks (Unicode Standard Annex #11), and what terminals draw as a coloured picture.
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18df2}\u{1aff0}-\u{1b2fb}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]|\p{Emoji}\ufe0f|\p{Regional_Indicator}/u
const INVISIBLE = /^[\p{Mn}\p{Me}\p{Cc}\p{Cf}\p{Cs}]*$/u
/** Half-width voice marks take a column of their own, although they belong to the character before. */
const HALF_WIDTH_MARKS = /[\uff9e\uff9f]/g
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/

/** Columns that a terminal needs for the text, which holds no escape sequences. */
export function displayWidth(text: string): number {
  if (PRINTABLE_ASCII.test(text)) return text.length
  let width = 0
  for (const { segment } of graphemes.segment(text)) width += graphemeWidth(segment)
  return width
}

/** At most `columns` wide; what was cut ends in `...`. */
export function fitText(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text
  const mark = '...'.slice(0, Math.max(0, columns))
  let kept = ''
  let width = mark.length
  for (const { segment } of graphemes.segment(text)) {
    width += graphemeWidth(segment)
    if (width > columns) break
    kept += segment
  }
  return kept + mark
}

/** Filled with blanks up to `columns`; longer text stays as it is. */
export function padText(text: string, columns: number, align: 'left' | 'right' = 'left'): string {
  const blanks = ' '.repeat(Math.max(0, columns - displayWidth(text)))
  return align === 'left' ? text + blanks : blanks + text
}

function graphemeWidth(grapheme: string): number {
  if (WIDE.test(grapheme)) return 2
  const marks = grapheme.match(HALF_WIDTH_MARKS)?.length ?? 0
  if (marks > 0) return grapheme.length === marks ? marks : 1 + marks
  return INVISIBLE.test(grapheme) ? 0 : 1
}

/** As Docker writes sizes: `161 B`, `67.8 MB`. */
export function sizeText(bytes: number): string {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), 4)
  const unit = ['B', 'kB', 'MB', 'GB', 'TB'][power] ?? 'TB'
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${unit}`
}
