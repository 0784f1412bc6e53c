import { describe, expect, it } from 'vitest'
import { demultiplex } from '../../../../src/executors/docker/api/demultiplex.ts'

function frame(stream: number, data: string): Buffer {
  const header = Buffer.alloc(8)
  header[0] = stream
  header.writeUInt32BE(Buffer.byteLength(data), 4)
  return Buffer.concat([header, Buffer.from(data)])
}

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve()
    yield bytes.subarray(at, at + size)
  }
}

async function read(source: AsyncIterable<Buffer>): Promise<Record<'stdout' | 'stderr', string>> {
  const texts = { stdout: '', stderr: '' }
  for await (const { stream, data } of demultiplex(source)) texts[stream] += Buffer.from(data).toString()
  return texts
}

describe('demultiplex', () => {
  const bytes = Buffer.concat([
    frame(1, 'hello '),
    frame(2, 'oops'),
    frame(1, ''),
    frame(1, 'world'),
    frame(2, '!'),
  ])

  it('sorts the frames, wherever the packets are cut', async () => {
    for (let size = 1; size <= bytes.length; size += 1) {
      expect(await read(cut(bytes, size))).toEqual({ stdout: 'hello world', stderr: 'oops!' })
    }
  })

  it('reads nothing from nothing', async () => {
    expect(await read(cut(Buffer.alloc(0), 1))).toEqual({ stdout: '', stderr: '' })
  })

  it('says when the stream ends inside a frame', async () => {
    for (const end of [1, 8, 10, bytes.length - 1]) {
      await expect(read(cut(bytes.subarray(0, end), 7))).rejects.toThrow('cut off')
    }
  })

  it('says when there are no frames', async () => {
    await expect(read(cut(Buffer.from('HTTP/1.1 400 Bad Request'), 100))).rejects.toThrow('not framed')
  })

  it('does not recurse into a million tiny frames', async () => {
    let count = 0
    for await (const { data } of demultiplex(
      cut(Buffer.concat(Array<Buffer>(200_000).fill(frame(1, 'x'))), 65_536),
    )) {
      count += data.length
    }
    expect(count).toBe(200_000)
  })

  it('asks for more only when the bytes before are consumed', async () => {
    let asked = 0
    async function* source(): AsyncGenerator<Buffer> {
      for (;;) {
        await Promise.resolve()
        asked += 1
        yield frame(1, 'x')
      }
    }
    const output = demultiplex(source())
    await output.next()
    await output.next()
    expect(asked).toBe(2)
    await output.return(undefined)
  })
})
