import { ExactNumber } from './exact-number.ts'
import { MAX_DEPTH, type Json, type JsonObject } from './json-value.ts'

/** The text is no JSON. The message names the place and quotes nothing of the text. */
export class JsonSyntaxError extends Error {
  override readonly name = 'JsonSyntaxError'
  /** UTF-16 units before the place. */
  readonly position: number
  /** 'too_deep': nested beyond MAX_DEPTH; it may have been JSON. */
  readonly reason: 'syntax' | 'too_deep'

  constructor(what: string, position: number, reason: 'syntax' | 'too_deep' = 'syntax') {
    super(`${what} at character ${position + 1}`)
    this.position = position
    this.reason = reason
  }
}

/**
 * Reads one JSON text, as Python's json.loads does: RFC 8259 and NaN, Infinity, -Infinity; of equal keys the last
 * wins; lone surrogates are let through as escapes. Throws JsonSyntaxError. Linear time.
 */
export function parseJson(text: string): Json {
  const reader = new Reader(text)
  const value = reader.value(0)
  reader.end()
  return value
}

/** One pass over the text; `#at` is the next character. */
class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
    this.#space()
  }

  end(): void {
    if (this.#at < this.#text.length) this.#fail('unexpected text after the value')
  }

  /** Reads a value and the space after it. */
  value(depth: number): Json {
    const value = this.#bareValue(depth)
    this.#space()
    return value
  }

  #bareValue(depth: number): Json {
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth + 1)
      case '[':
        return this.#array(depth + 1)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      case 'N':
        return this.#word('NaN', ExactNumber.nan)
      case 'I':
        return this.#word('Infinity', ExactNumber.infinity)
      case '-':
        if (this.#text[this.#at + 1] === 'I') return this.#word('-Infinity', ExactNumber.negativeInfinity)
        return this.#number()
      default:
        return this.#number()
    }
  }

  #object(depth: number): JsonObject {
    const result = new Map<string, Json>()
    this.#open(depth)
    if (this.#skip('}')) return result
    do {
      this.#space()
      if (this.#text[this.#at] !== '"') this.#fail('expected a key in double quotes')
      const key = this.#string()
      this.#space()
      if (!this.#skip(':')) this.#fail('expected ":" after a key')
      this.#space()
      result.set(key, this.value(depth))
    } while (this.#skip(','))
    if (!this.#skip('}')) this.#fail('expected "," or "}"')
    return result
  }

  #array(depth: number): Json[] {
    const result: Json[] = []
    this.#open(depth)
    if (this.#skip(']')) return result
    do {
      this.#space()
      result.push(this.value(depth))
    } while (this.#skip(','))
    if (!this.#skip(']')) this.#fail('expected "," or "]"')
    return result
  }

  #open(depth: number): void {
    if (depth > MAX_DEPTH) {
      throw new JsonSyntaxError(`nested deeper than ${MAX_DEPTH} levels`, this.#at, 'too_deep')
    }
    this.#at += 1
    this.#space()
  }

  #string(): string {
    const start = this.#at
    this.#at += 1
    const parts: string[] = []
    for (;;) {
      PLAIN_TEXT.lastIndex = this.#at
      PLAIN_TEXT.test(this.#text)
      if (PLAIN_TEXT.lastIndex > this.#at) parts.push(this.#text.slice(this.#at, PLAIN_TEXT.lastIndex))
      this.#at = PLAIN_TEXT.lastIndex
      const stop = this.#text[this.#at]
      if (stop === '"') break
      if (stop === undefined) throw new JsonSyntaxError('string without an end that starts', start)
      if (stop !== '\\') this.#fail('control character in a string')
      parts.push(this.#escape())
    }
    this.#at += 1
    return parts.length === 1 ? (parts[0] ?? '') : parts.join('')
  }

  #escape(): string {
    const letter = this.#text[this.#at + 1] ?? ''
    if (letter === 'u') {
      const hex = this.#text.slice(this.#at + 2, this.#at + 6)
      if (!/^[\da-fA-F]{4}$/.test(hex)) this.#fail('invalid \\u escape')
      this.#at += 6
      return String.fromCharCode(Number.parseInt(hex, 16))
    }
    const character = ESCAPES.get(letter)
    if (character === undefined) return this.#fail('invalid escape')
    this.#at += 2
    return character
  }

  #number(): ExactNumber {
    NUMBER.lastIndex = this.#at
    if (!NUMBER.test(this.#text)) {
      this.#fail(this.#at < this.#text.length ? 'expected a value' : 'expected a value, found the end')
    }
    const literal = this.#text.slice(this.#at, NUMBER.lastIndex)
    this.#at = NUMBER.lastIndex
    return literal.length > LONGEST_SHARED ? ExactNumber.parse(literal) : shared(literal)
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#fail('expected a value')
    this.#at += word.length
    return value
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at += 1
    return true
  }

  #space(): void {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at)
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return
      this.#at += 1
    }
  }

  #fail(what: string): never {
    throw new JsonSyntaxError(what, this.#at)
  }
}

const PLAIN_TEXT = /[^"\\\u0000-\u001f]*/y
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const ESCAPES = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

/** There are no more than some thousand different literals of this length. */
const LONGEST_SHARED = 3
const SHARED = new Map<string, ExactNumber>()

/** One instance for all short numbers of a kind: a line of millions of zeros must not fill the memory. */
function shared(literal: string): ExactNumber {
  const found = SHARED.get(literal)
  if (found !== undefined) return found
  const made = ExactNumber.parse(literal)
  SHARED.set(literal, made)
  return made
}
