import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'

/** An entry of an archive; paths are absolute as in the image. */
export type TarEntry =
  | { path: string; type: 'folder'; mode?: number }
  | { path: string; type: 'link'; target: string }
  | { path: string; type: 'text'; content: string | Uint8Array; mode?: number }
  | { path: string; type: 'file'; from: string; mode?: number }

const BLOCK = 512
const TYPE_FLAGS = { text: '0', file: '0', link: '2', folder: '5' } as const

/** Writes a ustar archive as it is read: root owns everything, and all times are zero, so that equal input is equal. */
export async function* writeTar(entries: Iterable<TarEntry>): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    if (entry.type === 'file') {
      const { size } = await stat(entry.from)
      yield header(entry, size)
      let read = 0
      for await (const part of createReadStream(entry.from, { end: Math.max(0, size - 1) })) {
        read += (part as Buffer).length
        yield part as Buffer
      }
      if (read !== size) throw new Error(`${entry.from} has changed while it was read`)
      yield padding(size)
    } else {
      const content = entry.type === 'text' ? bytesOf(entry.content) : Buffer.alloc(0)
      yield header(entry, content.length)
      yield content
      yield padding(content.length)
    }
  }
  yield Buffer.alloc(2 * BLOCK)
}

function header(entry: TarEntry, size: number): Buffer {
  const block = Buffer.alloc(BLOCK)
  const [prefix, name] = splitPath(entry.path.replace(/^\/+/, ''))
  const mode = modeOf(entry)
  const field = (offset: number, length: number, text: string): void => {
    if (Buffer.byteLength(text) > length) throw new Error(`${entry.path} does not fit into an archive`)
    block.write(text, offset)
  }
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`
  field(0, 100, name)
  field(100, 8, octal(mode, 7))
  field(108, 8, octal(0, 7))
  field(116, 8, octal(0, 7))
  field(124, 12, octal(size, 11))
  field(136, 12, octal(0, 11))
  field(148, 8, ' '.repeat(8))
  field(156, 1, TYPE_FLAGS[entry.type])
  field(157, 100, entry.type === 'link' ? entry.target : '')
  field(257, 8, 'ustar\x0000')
  field(345, 155, prefix)
  const sum = block.reduce((total, byte) => total + byte, 0)
  field(148, 8, `${sum.toString(8).padStart(6, '0')}\0 `)
  return block
}

function bytesOf(content: string | Uint8Array): Uint8Array {
  return typeof content === 'string' ? Buffer.from(content) : content
}

function modeOf(entry: TarEntry): number {
  if (entry.type === 'link') return 0o777
  return entry.mode ?? (entry.type === 'text' ? 0o644 : 0o755)
}

/** A long path goes into two fields, cut at a slash. */
function splitPath(path: string): [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= 100) return ['', path]
  const slash = path.indexOf('/', path.length - 101)
  return slash < 0 ? ['', path] : [path.slice(0, slash), path.slice(slash + 1)]
}

function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK)
}
