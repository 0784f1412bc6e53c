import { createHash } from 'node:crypto'
import { childSignal } from '../core/child-signal.ts'
import { FileError, TransientError, type Carrier, type RemoteRequest, type Renew } from './files.ts'
import { withPatience, type Patience } from './retry.ts'

/** Where read bytes go. */
export interface Sink {
  write(chunk: Uint8Array): Promise<void>
  /** All so far was in vain. */
  restart(): Promise<void>
}

export interface Pull {
  /** For messages; '' = not a job's file. */
  path: string
  request: RemoteRequest
  renew?: Renew
  sha256?: string
  carrierOf: (url: string) => Promise<Carrier>
  patience: Patience
  signal: AbortSignal
  /** Called with the size before it is read, and as it grows; throws when it is too much. */
  count: (bytes: number) => void
  onMoved?: (bytes: number, total: number | undefined) => void
}

/** Reads a whole content, going on where it was cut if that is possible. Returns its size. */
export async function pull(pulled: Pull, sink: Sink): Promise<number> {
  const { path, patience, signal, count, onMoved, carrierOf } = pulled
  let offset = 0
  let farthest = 0
  let version = ''
  let hash = createHash('sha256')
  async function restart(): Promise<void> {
    offset = 0
    version = ''
    hash = createHash('sha256')
    await sink.restart()
  }

  async function tryOnce(moved: () => void): Promise<void> {
    const request = pulled.renew === undefined ? pulled.request : await pulled.renew(signal)
    const carrier = await carrierOf(request.url)
    if (version === '' && offset > 0) await restart()
    const { signal: cutSignal, cut, free } = childSignal(signal)
    const silence = new TransientError(`nothing came for ${patience.idleMs / 1000} s`)
    const timer = setTimeout(() => {
      cut(silence)
    }, patience.idleMs)
    try {
      const reading = await carrier.read(request, { offset, version }, cutSignal)
      if (reading.offset !== offset) await restart()
      version = reading.version
      if (reading.total !== undefined) count(reading.total)
      for await (const chunk of reading.body) {
        offset += chunk.length
        if (offset > (reading.total ?? 0)) count(offset)
        hash.update(chunk)
        await sink.write(chunk)
        if (offset > farthest) {
          farthest = offset
          moved()
        }
        onMoved?.(offset, reading.total)
        timer.refresh()
      }
      if (reading.total !== undefined && offset < reading.total) {
        throw new TransientError(`the content was cut after ${offset} of ${reading.total} bytes`)
      }
      if (reading.total !== undefined && offset > reading.total) {
        version = ''
        throw new TransientError(`the content is longer than the ${reading.total} bytes announced`)
      }
    } catch (error) {
      if (cutSignal.aborted && !signal.aborted) throw silence
      throw error
    } finally {
      clearTimeout(timer)
      free()
    }
  }

  await withPatience(patience, signal, tryOnce)
  const sum = hash.digest('hex')
  if (pulled.sha256 !== undefined && sum !== pulled.sha256.toLowerCase()) {
    throw new FileError(
      'checksum',
      path,
      `${JSON.stringify(path)} has the SHA-256 ${sum}, not ${pulled.sha256}`,
    )
  }
  return offset
}
