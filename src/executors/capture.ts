/** The beginning of an output, and how much there was of it. */
export interface Captured {
  bytes: Buffer
  /** All that the program has printed, as far as it was read. */
  totalBytes: number
}

/** Keeps the beginning of what flows by. */
export class Head {
  #buffer = Buffer.alloc(0)
  #length = 0
  #total = 0

  /** Keeps at most `room` bytes of `data`; says how many. */
  add(data: Uint8Array, room: number): number {
    this.#total += data.length
    const part = data.subarray(0, Math.max(0, room))
    const length = this.#length + part.length
    if (length > this.#buffer.length) {
      // Copied, since slices would keep the whole packets that they came in.
      const larger = Buffer.alloc(Math.max(length, this.#buffer.length * 2, 1024))
      this.#buffer.copy(larger, 0, 0, this.#length)
      this.#buffer = larger
    }
    this.#buffer.set(part, this.#length)
    this.#length = length
    return part.length
  }

  finish(): Captured {
    return { bytes: this.#buffer.subarray(0, this.#length), totalBytes: this.#total }
  }
}
