import { createHash, type Hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { crc32 } from 'node:zlib'
import { S3Error, s3Errors } from './errors.ts'

const LONGEST_LINE = 16 * 1024

/** The content of a request: unframed, and checked at its end against all that its headers and trailers tell. */
export async function* contentOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  const told = new Map<string, string>()
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === 'string') told.set(name, value)
  }
  const framed = (told.get('x-amz-content-sha256') ?? '').startsWith('STREAMING-')
  const length = told.get(framed ? 'x-amz-decoded-content-length' : 'content-length')
  const signed = told.get('x-amz-content-sha256') ?? ''
  if (/^[\da-f]{64}$/.test(signed)) told.set(SIGNED, Buffer.from(signed, 'hex').toString('base64'))
  let bytes = 0
  for await (const chunk of checked(framed ? unframe(request, told) : bytesOf(request), told)) {
    bytes += chunk.length
    yield chunk
  }
  if (length !== undefined && Number(length) !== bytes) throw s3Errors.incompleteBody()
}

/** The bytes of a request; who stops reading them early can still answer. */
export function bytesOf(request: IncomingMessage): AsyncIterable<Buffer> {
  // Left by the plain iterator, a request takes its connection with it.
  return { [Symbol.asyncIterator]: () => request.iterator({ destroyOnReturn: false }) }
}

const SIGNED = 'signed sha256'
const DIGESTS: Readonly<Record<string, string>> = {
  'content-md5': 'md5',
  'x-amz-checksum-sha1': 'sha1',
  'x-amz-checksum-sha256': 'sha256',
  [SIGNED]: 'sha256',
}
const CRC = 'x-amz-checksum-crc32'

/** `source`, and BadDigest at its end where a checksum in `told` is another; trailers may still come into it. */
export async function* checked(
  source: AsyncIterable<Buffer>,
  told: ReadonlyMap<string, string>,
): AsyncGenerator<Buffer> {
  const trailers = (told.get('x-amz-trailer') ?? '').split(',').map((name) => name.trim().toLowerCase())
  const wanted = new Set([...told.keys(), ...trailers])
  const hashes = new Map<string, Hash>()
  for (const [name, algorithm] of Object.entries(DIGESTS)) {
    if (wanted.has(name)) hashes.set(name, createHash(algorithm))
  }
  let crc = 0
  for await (const chunk of source) {
    for (const hash of hashes.values()) hash.update(chunk)
    if (wanted.has(CRC)) crc = crc32(chunk, crc)
    yield chunk
  }
  for (const name of trailers) {
    if (name !== '' && !told.has(name)) {
      throw new S3Error('MalformedTrailerError', 400, `The trailer ${name} is missing`)
    }
  }
  const found = new Map([...hashes].map(([name, hash]) => [name, hash.digest('base64')]))
  if (wanted.has(CRC)) {
    const sum = Buffer.alloc(4)
    sum.writeUInt32BE(crc >>> 0)
    found.set(CRC, sum.toString('base64'))
  }
  for (const [name, value] of found) if (told.get(name) !== value) throw s3Errors.badDigest()
}

/** Takes the frames of `aws-chunked` off; trailers go into `told`. */
async function* unframe(request: IncomingMessage, told: Map<string, string>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  let left = 0
  let state: 'size' | 'data' | 'gap' | 'trailers' | 'end' = 'size'
  for await (const chunk of bytesOf(request)) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length > 0) {
      if (state === 'data') {
        const part = rest.subarray(0, left)
        rest = rest.subarray(part.length)
        left -= part.length
        if (left === 0) state = 'gap'
        yield part
        continue
      }
      const end = rest.indexOf('\r\n')
      if (end === -1) {
        if (rest.length > LONGEST_LINE) throw s3Errors.invalid('A line of the chunked body is too long')
        break
      }
      const line = rest.subarray(0, end).toString('latin1')
      rest = rest.subarray(end + 2)
      switch (state) {
        case 'size':
          if (!/^[\da-f]{1,10}(;|$)/i.test(line)) throw s3Errors.invalid('A chunk of the body has no size')
          left = parseInt(line, 16)
          state = left === 0 ? 'trailers' : 'data'
          break
        case 'gap':
          if (line !== '') throw s3Errors.invalid('A chunk of the body is longer than it tells')
          state = 'size'
          break
        case 'trailers':
          if (line === '') state = 'end'
          else addTrailer(line, told)
          break
        case 'end':
          throw s3Errors.invalid('The chunked body goes on behind its end')
      }
    }
  }
  if (state !== 'end' || rest.length > 0) throw s3Errors.incompleteBody()
}

function addTrailer(line: string, told: Map<string, string>): void {
  const [, name, value] = /^([\w-]+):(.*)$/.exec(line) ?? []
  if (name === undefined || value === undefined) throw s3Errors.invalid('A trailer of the body has no name')
  told.set(name.toLowerCase(), value.trim())
}
