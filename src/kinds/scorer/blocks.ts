/** Small parts are joined up to this size: enough for few writes, little enough to be copied now and then. */
const BLOCK_BYTES = 256 * 1024

/** Text of history entries, each with `, ` before it. Immutable, so that a job may read it while another adds to it. */
export interface Blocks {
  readonly parts: readonly Buffer[]
  readonly bytes: number
}

export const NO_BLOCKS: Blocks = { parts: [], bytes: 0 }
const SEPARATOR = ', '

/** One entry as a part. */
export function entryPart(json: string): Buffer {
  return Buffer.from(SEPARATOR + json, 'latin1')
}

/** Blocks with more parts at their end. */
export function addParts(blocks: Blocks, added: readonly Buffer[]): Blocks {
  if (added.length === 0) return blocks
  const parts = blocks.parts.slice(0, -1)
  let open: Buffer[] = blocks.parts.slice(-1)
  let openBytes = open[0]?.length ?? 0
  let bytes = blocks.bytes
  for (const part of added) {
    if (openBytes + part.length > BLOCK_BYTES && open.length > 0) {
      parts.push(joined(open))
      open = []
      openBytes = 0
    }
    open.push(part)
    openBytes += part.length
    bytes += part.length
  }
  parts.push(joined(open))
  return { parts, bytes }
}

/** A JSON list of all entries, as bytes; what is passed first stands first in it. */
export function* listBytes(...all: readonly Blocks[]): Generator<Uint8Array, void, undefined> {
  yield Buffer.from('[')
  let first = true
  for (const { parts } of all) {
    for (const part of parts) {
      yield first ? part.subarray(SEPARATOR.length) : part
      first = false
    }
  }
  yield Buffer.from(']')
}

function joined(parts: readonly Buffer[]): Buffer {
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)
}
