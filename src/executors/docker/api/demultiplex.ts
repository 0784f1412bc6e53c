import type { OutputChunk } from '../../executor.ts'

const HEADER_BYTES = 8

/**
 * Takes the engine's stream of frames apart: a header of 8 bytes (stream, 0, 0, 0, length), then so many bytes.
 * Nothing is copied or queued; the next bytes are asked for when those before are consumed. Throws when the stream
 * ends inside a frame or holds none.
 */
export async function* demultiplex(source: AsyncIterable<Buffer>): AsyncGenerator<OutputChunk> {
  const header = Buffer.alloc(HEADER_BYTES)
  let headerBytes = 0
  let stream: OutputChunk['stream'] = 'stdout'
  let left = 0
  for await (const data of source) {
    let at = 0
    while (at < data.length) {
      if (left > 0) {
        const part = data.subarray(at, at + left)
        at += part.length
        left -= part.length
        yield { stream, data: part }
        continue
      }
      const copied = data.copy(header, headerBytes, at)
      at += copied
      headerBytes += copied
      if (headerBytes < HEADER_BYTES) break
      headerBytes = 0
      stream = streamOf(header)
      left = header.readUInt32BE(4)
    }
  }
  if (left > 0 || headerBytes > 0) throw new Error('the output was cut off')
}

function streamOf(header: Buffer): OutputChunk['stream'] {
  // Standard input's number is what some engines echo; it is treated as the CLI treats it.
  if (header.readUInt32BE(0) === 0x01000000 || header.readUInt32BE(0) === 0) return 'stdout'
  if (header.readUInt32BE(0) === 0x02000000) return 'stderr'
  throw new Error('the output is not framed')
}
