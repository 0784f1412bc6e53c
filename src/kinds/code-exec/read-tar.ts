/** The archive is none, or goes on beyond all bounds. */
export class TarError extends Error {
  override readonly name = 'TarError'
}

/** An entry of an archive. Its maker is not to be trusted: not with the path, and not with the size. */
export interface TarMember {
  /** As it is written there; bytes that are no UTF-8 are replaced. */
  path: string
  type: 'file' | 'folder' | 'link' | 'device' | 'other'
  size: number
  /** What a file holds; whoever does not want it leaves it alone. May be read until the next entry is asked for. */
  body: AsyncIterable<Uint8Array>
}

const BLOCK = 512
/** Paths and attributes that don't fit into a header. */
const MOST_EXTRA_BYTES = 64 * 1024

/**
 * Reads an archive of ustar, GNU's long names and pax as it comes, at most `mostBytes` of it. Holds one block and the
 * stream's last part. Throws TarError, and what the stream throws.
 */
export async function* readTar(
  stream: AsyncIterable<Uint8Array>,
  mostBytes: number,
): AsyncGenerator<TarMember, void, undefined> {
  const source = new Source(stream, mostBytes)
  try {
    let extra: { path?: string; size?: number } = {}
    for (;;) {
      const header = await source.block()
      // An end without the two empty blocks that belong there is one all the same.
      if (header === undefined || header.every((byte) => byte === 0)) return
      assertSum(header)
      const type = String.fromCharCode(header[156] ?? 0)
      const size = numberAt(header, 124, 12)
      if (type === 'x' || type === 'L' || type === 'K' || type === 'g') {
        if (size > MOST_EXTRA_BYTES) throw new TarError('an entry has attributes without end')
        const text = await source.text(size)
        if (type === 'x') extra = { ...extra, ...paxAttributes(text) }
        if (type === 'L') extra.path = text.toString('utf8').replace(/\0.*$/s, '')
        continue
      }
      const own = extra
      extra = {}
      const kind = kindOf(type)
      // What is no file has no content, whatever is written there.
      const bytes = kind === 'file' || kind === 'other' ? (own.size ?? size) : 0
      const body = new Body(source, bytes)
      yield { path: own.path ?? pathOf(header), type: kind, size: bytes, body }
      await body.skip()
    }
  } finally {
    await source.close()
  }
}

function kindOf(type: string): TarMember['type'] {
  if (type === '0' || type === '\0' || type === '7') return 'file'
  if (type === '5') return 'folder'
  if (type === '1' || type === '2') return 'link'
  return type === '3' || type === '4' || type === '6' ? 'device' : 'other'
}

function pathOf(header: Buffer): string {
  const name = textAt(header, 0, 100)
  // GNU's older form keeps other things in the place of the prefix.
  const prefix = textAt(header, 257, 6) === 'ustar' ? textAt(header, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function textAt(header: Buffer, start: number, length: number): string {
  const field = header.subarray(start, start + length)
  const end = field.indexOf(0)
  return field.subarray(0, end < 0 ? length : end).toString('utf8')
}

/** Octal digits, or GNU's binary form for what is too large for them. */
function numberAt(header: Buffer, start: number, length: number): number {
  const field = header.subarray(start, start + length)
  let value = 0
  if (((field[0] ?? 0) & 0x80) !== 0) {
    for (const [index, byte] of field.entries()) value = value * 256 + (index === 0 ? byte & 0x7f : byte)
  } else {
    const digits = field.toString('latin1').replace(/[\0 ].*$/s, '')
    if (!/^[0-7]*$/.test(digits)) throw new TarError('an entry has no number where one belongs')
    value = digits === '' ? 0 : parseInt(digits, 8)
  }
  if (!Number.isSafeInteger(value)) throw new TarError('an entry is larger than any file')
  return value
}

function assertSum(header: Buffer): void {
  const sum = numberAt(Buffer.from(textAt(header, 148, 8).trim()), 0, 8)
  let found = 8 * 0x20
  for (const [index, byte] of header.entries()) if (index < 148 || index >= 156) found += byte
  if (sum !== found) throw new TarError('it is no tar archive')
}

/** `<length> <key>=<value>\n`, again and again. */
function paxAttributes(text: Buffer): { path?: string; size?: number } {
  const found: { path?: string; size?: number } = {}
  for (let at = 0; at < text.length;) {
    const space = text.indexOf(0x20, at)
    const length = Number(space < 0 ? NaN : text.toString('latin1', at, space))
    if (!Number.isSafeInteger(length) || length <= space - at + 1 || at + length > text.length) {
      throw new TarError('an entry has attributes that can not be read')
    }
    const [, key, value = ''] = /^([^=]*)=(.*)\n$/s.exec(text.toString('utf8', space + 1, at + length)) ?? []
    if (key === 'path') found.path = value.replace(/\0.*$/s, '')
    if (key === 'size') {
      const size = /^\d{1,15}$/.test(value) ? Number(value) : NaN
      if (Number.isNaN(size)) throw new TarError('an entry has attributes that can not be read')
      found.size = size
    }
    at += length
  }
  return found
}

/** The content of one entry; what nobody reads of it is passed over. */
class Body implements AsyncIterable<Uint8Array> {
  readonly #source: Source
  readonly #padding: number
  #left: number

  constructor(source: Source, size: number) {
    this.#source = source
    this.#left = size
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const part = await this.#source.part(this.#left)
      this.#left -= part.length
      yield part
    }
  }

  async skip(): Promise<void> {
    this.#left += this.#padding
    while (this.#left > 0) this.#left -= (await this.#source.part(this.#left)).length
  }
}

/** The bytes of a stream, as they are asked for. */
class Source {
  readonly #iterator: AsyncIterator<Uint8Array>
  readonly #most: number
  #rest: Buffer = Buffer.alloc(0)
  #total = 0

  constructor(stream: AsyncIterable<Uint8Array>, most: number) {
    this.#iterator = stream[Symbol.asyncIterator]()
    this.#most = most
  }

  /** The next block; undefined at the end. */
  async block(): Promise<Buffer | undefined> {
    if (this.#rest.length === 0 && !(await this.#more())) return undefined
    return await this.text(BLOCK, 0)
  }

  /** So many bytes, and what fills up their last block. */
  async text(size: number, padding = (BLOCK - (size % BLOCK)) % BLOCK): Promise<Buffer> {
    const parts: Uint8Array[] = []
    for (let left = size; left > 0;) {
      const part = await this.part(left)
      parts.push(part)
      left -= part.length
    }
    for (let left = padding; left > 0;) left -= (await this.part(left)).length
    return Buffer.concat(parts)
  }

  /** Some bytes, at most so many. */
  async part(most: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      if (!(await this.#more())) throw new TarError('it ends in the middle of an entry')
    }
    const part = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(part.length)
    return part
  }

  async close(): Promise<void> {
    await this.#iterator.return?.()
  }

  async #more(): Promise<boolean> {
    const next = await this.#iterator.next()
    if (next.done === true) return false
    this.#total += next.value.length
    if (this.#total > this.#most) throw new TarError('it goes on beyond all that the folder can hold')
    this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    return true
  }
}
