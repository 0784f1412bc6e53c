/** The last non-empty line of an output: none, its bytes, or longer than allowed. */
export interface LastLine {
  state: 'none' | 'line' | 'too_long'
  /** Without its line end; empty unless `state` is `line`. */
  bytes: Uint8Array
}

const LF = 0x0a
const CR = 0x0d

/**
 * Finds the last line that holds more than white space, in an output of any length, while it flows by. Never holds
 * more than two lines of `maxBytes`; a longer one matters only if no other follows it.
 */
export class LastLineFinder {
  #open: Line
  #last: Line

  constructor(maxBytes: number) {
    this.#open = new Line(maxBytes)
    this.#last = new Line(maxBytes)
  }

  add(data: Uint8Array): void {
    const newline = data.lastIndexOf(LF)
    if (newline < 0) {
      this.#open.append(data)
      return
    }
    // Of the lines that end in here only the last with something in it can matter.
    const mark = lastNonBlank(data, newline)
    const before = mark < 0 ? -1 : data.lastIndexOf(LF, mark)
    if (before >= 0) {
      this.#open.clear()
      this.#open.append(data.subarray(before + 1, data.indexOf(LF, mark)))
    } else {
      this.#open.append(data.subarray(0, data.indexOf(LF, Math.max(mark, 0))))
    }
    this.#closeLine()
    this.#open.append(data.subarray(newline + 1))
  }

  /** The last line, whether or not a line end followed it. */
  finish(): LastLine {
    const line = this.#open.isBlank ? this.#last : this.#open
    if (line.isBlank) return { state: 'none', bytes: new Uint8Array() }
    return line.isTooLong
      ? { state: 'too_long', bytes: new Uint8Array() }
      : { state: 'line', bytes: line.bytes() }
  }

  #closeLine(): void {
    if (!this.#open.isBlank) [this.#open, this.#last] = [this.#last, this.#open]
    this.#open.clear()
  }
}

/** Keeps the last `maxBytes` of what flows by. */
export class Tail {
  readonly #maxBytes: number
  readonly #buffer: Uint8Array
  #length = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
    // Twice as much, so that it is moved once in a while only.
    this.#buffer = new Uint8Array(maxBytes * 2)
  }

  add(data: Uint8Array): void {
    const part = data.length > this.#maxBytes ? data.subarray(data.length - this.#maxBytes) : data
    if (this.#length + part.length > this.#buffer.length) {
      const kept = Math.min(this.#length, this.#maxBytes)
      this.#buffer.copyWithin(0, this.#length - kept, this.#length)
      this.#length = kept
    }
    this.#buffer.set(part, this.#length)
    this.#length += part.length
  }

  bytes(): Uint8Array {
    return this.#buffer.slice(Math.max(0, this.#length - this.#maxBytes), this.#length)
  }
}

/** One line as it grows; beyond `maxBytes` only its length is known. */
class Line {
  isBlank = true
  readonly #maxBytes: number
  #buffer = new Uint8Array(256)
  #length = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get isTooLong(): boolean {
    return this.#length > this.#maxBytes
  }

  append(data: Uint8Array): void {
    if (this.isBlank) this.isBlank = lastNonBlank(data, data.length) < 0
    const length = this.#length + data.length
    if (length <= this.#maxBytes) {
      if (length > this.#buffer.length) this.#grow(length)
      this.#buffer.set(data, this.#length)
    }
    this.#length = length
  }

  clear(): void {
    this.isBlank = true
    this.#length = 0
  }

  bytes(): Uint8Array {
    const end = this.#buffer[this.#length - 1] === CR ? this.#length - 1 : this.#length
    return this.#buffer.slice(0, end)
  }

  /** Copied, since slices would keep the whole packets that they came in. */
  #grow(length: number): void {
    const larger = new Uint8Array(
      Math.min(Math.max(length, this.#buffer.length * 2), Math.max(length, this.#maxBytes)),
    )
    larger.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = larger
  }
}

/** The index of the last byte before `end` that is no white space of ASCII; −1 when there is none. */
function lastNonBlank(data: Uint8Array, end: number): number {
  let index = end - 1
  for (; index >= 0; index -= 1) {
    const byte = data[index] ?? 0
    if (byte !== 0x20 && (byte < 0x09 || byte > 0x0d)) return index
  }
  return index
}
