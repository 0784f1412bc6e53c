const OMITTED = '\n... Content omitted for length ...\n'

/**
 * A text of at most `maxCodePoints` code points: the beginning and the end with a note between them when it is longer.
 * White space at the cut is trimmed, no code point is split.
 */
export function truncateMiddle(text: string, maxCodePoints = 16_384): string {
  if (text.length <= maxCodePoints || !isLongerThan(text, maxCodePoints)) return text
  const room = maxCodePoints - OMITTED.length
  if (room < 2) return text.slice(0, afterCodePoints(text, maxCodePoints))
  const head = text.slice(0, afterCodePoints(text, Math.ceil(room / 2)))
  const tail = text.slice(beforeCodePoints(text, Math.floor(room / 2)))
  return head.trimEnd() + OMITTED + tail.trimStart()
}

/**
 * The last `count` lines of what a program printed, fit to be shown: invalid UTF-8 replaced, every character that
 * steers a terminal or could forge a line, but newline and tab, written as an escape.
 */
export function tailLines(bytes: Uint8Array, count: number): string {
  // Bytes that were cut out of the middle of a stream may begin inside a character.
  let start = 0
  while (start < Math.min(bytes.length, 3) && isContinuation(bytes[start])) start += 1
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(start))
  const lines = text.replaceAll('\r\n', '\n').trimEnd().split('\n')
  return escapeControls(lines.slice(-count).join('\n'))
}

/** Writes control, line separating and direction changing characters, but newline and tab, as `\x1b` or `\u2028`. */
export function escapeControls(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|[\p{Zl}\p{Zp}\p{Bidi_Control}\p{Surrogate}\ufeff]/gu, (character) => {
    const code = character.charCodeAt(0)
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

function isLongerThan(text: string, codePoints: number): boolean {
  return afterCodePoints(text, codePoints) < text.length
}

/** The index after the first `count` code points. */
function afterCodePoints(text: string, count: number): number {
  let index = 0
  for (let seen = 0; seen < count && index < text.length; seen += 1) {
    index += isPairAt(text, index) ? 2 : 1
  }
  return index
}

/** The index before the last `count` code points. */
function beforeCodePoints(text: string, count: number): number {
  let index = text.length
  for (let seen = 0; seen < count && index > 0; seen += 1) {
    index -= index > 1 && isPairAt(text, index - 2) ? 2 : 1
  }
  return index
}

function isPairAt(text: string, index: number): boolean {
  return (text.codePointAt(index) ?? 0) > 0xffff
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80
}
