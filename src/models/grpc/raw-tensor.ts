import { failed } from '../failure.ts'
import { ModelError } from '../protocol.ts'
import type { TensorValue } from '../tensors.ts'

/** How one number lies in memory, little-endian. */
interface Layout {
  bytes: number
  write: (target: Buffer, value: number, at: number) => void
  read: (source: Buffer, at: number) => number
}

const LAYOUTS = new Map<string, Layout>([
  ['UINT8', { bytes: 1, write: (b, v, at) => b.writeUInt8(v, at), read: (b, at) => b.readUInt8(at) }],
  ['UINT16', { bytes: 2, write: (b, v, at) => b.writeUInt16LE(v, at), read: (b, at) => b.readUInt16LE(at) }],
  ['UINT32', { bytes: 4, write: (b, v, at) => b.writeUInt32LE(v, at), read: (b, at) => b.readUInt32LE(at) }],
  [
    'UINT64',
    {
      bytes: 8,
      write: (b, v, at) => b.writeBigUInt64LE(BigInt(v), at),
      read: (b, at) => Number(b.readBigUInt64LE(at)),
    },
  ],
  ['INT8', { bytes: 1, write: (b, v, at) => b.writeInt8(v, at), read: (b, at) => b.readInt8(at) }],
  ['INT16', { bytes: 2, write: (b, v, at) => b.writeInt16LE(v, at), read: (b, at) => b.readInt16LE(at) }],
  ['INT32', { bytes: 4, write: (b, v, at) => b.writeInt32LE(v, at), read: (b, at) => b.readInt32LE(at) }],
  [
    'INT64',
    {
      bytes: 8,
      write: (b, v, at) => b.writeBigInt64LE(BigInt(v), at),
      read: (b, at) => Number(b.readBigInt64LE(at)),
    },
  ],
  ['FP32', { bytes: 4, write: (b, v, at) => b.writeFloatLE(v, at), read: (b, at) => b.readFloatLE(at) }],
  ['FP64', { bytes: 8, write: (b, v, at) => b.writeDoubleLE(v, at), read: (b, at) => b.readDoubleLE(at) }],
  ['BOOL', { bytes: 1, write: (b, v, at) => b.writeUInt8(v, at), read: (b, at) => b.readUInt8(at) }],
])

/** Values as KServe v2 has them raw. ModelError('validation') for a value or a type that can't be written so. */
export function packTensor(name: string, datatype: string, values: readonly TensorValue[]): Buffer {
  if (datatype === 'BYTES') return Buffer.concat(values.flatMap((value) => packText(String(value))))
  const layout = LAYOUTS.get(datatype)
  if (layout === undefined) {
    throw new ModelError('validation', `input ${name}: tensors of ${datatype} can't be sent`)
  }
  const packed = Buffer.alloc(values.length * layout.bytes)
  for (const [index, value] of values.entries()) {
    // A fraction would be written without a word, and a text as 0.
    const isRight =
      typeof value !== 'string' && (datatype.startsWith('FP') || Number.isInteger(Number(value)))
    try {
      if (!isRight) throw new RangeError('not of this type')
      layout.write(packed, Number(value), index * layout.bytes)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      throw new ModelError('validation', `input ${name}: ${String(value)} is no ${datatype}`, {
        cause: error,
      })
    }
  }
  return packed
}

/** The reverse; what doesn't fit its type is the server's fault. */
export function unpackTensor(name: string, datatype: string, packed: Buffer): TensorValue[] {
  if (datatype === 'BYTES') return unpackTexts(name, packed)
  const layout = LAYOUTS.get(datatype)
  if (layout === undefined) throw failed(`output ${name}: tensors of ${datatype} can't be read`)
  if (packed.length % layout.bytes !== 0)
    throw failed(`output ${name}: ${packed.length} bytes are no ${datatype}`)
  return Array.from({ length: packed.length / layout.bytes }, (_, index) => {
    const value = layout.read(packed, index * layout.bytes)
    return datatype === 'BOOL' ? value !== 0 : value
  })
}

/** Four bytes of length, then UTF-8. */
function packText(text: string): Buffer[] {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return [length, bytes]
}

function unpackTexts(name: string, packed: Buffer): string[] {
  const texts: string[] = []
  let at = 0
  while (at < packed.length) {
    const end = at + 4 + (at + 4 <= packed.length ? packed.readUInt32LE(at) : Infinity)
    if (end > packed.length) throw failed(`output ${name}: its text is cut off`)
    texts.push(packed.toString('utf8', at + 4, end))
    at = end
  }
  return texts
}
