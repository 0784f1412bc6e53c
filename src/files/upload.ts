import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { about } from './about.ts'
import { createMeter, type Budget } from './budget.ts'
import {
  FileError,
  type Carrier,
  type Content,
  type OutputFile,
  type SentFile,
  type UploadOptions,
} from './files.ts'
import { assertSafePath, lookUp, openRegular } from './paths.ts'
import { withPatience, type Patience } from './retry.ts'
import { shownUrl } from '../core/shown-url.ts'
import { walkFolder } from './walk.ts'

/** What outputs mean, file by file: of each folder the files in it. Nothing is sent yet. */
export async function listUploads(
  outputs: readonly OutputFile[],
  folder: string,
  carrierOf: (url: string) => Promise<Carrier>,
  options: UploadOptions,
): Promise<OutputFile[]> {
  const uploads: OutputFile[] = []
  for (const output of outputs) {
    // `results/` is how people write a folder.
    const path = output.path.replace(/\/$/, '')
    assertSafePath(path)
    try {
      const [, found] = await lookUp(folder, path)
      if (found.isDirectory()) uploads.push(...(await about(path, () => filesOf({ ...output, path }))))
      else uploads.push({ ...output, path })
    } catch (error) {
      if (!(error instanceof FileError && error.reason === 'missing_output' && options.skipMissing))
        throw error
      options.onSkip?.({ path, why: 'it is not there' })
    }
  }
  return uploads

  async function filesOf(output: OutputFile): Promise<OutputFile[]> {
    const { path, renew } = output
    if (renew !== undefined) {
      throw new FileError('bad_url', path, `${JSON.stringify(path)} is a folder, its address is for a file`)
    }
    const carrier = await carrierOf(output.url)
    const { files, skipped } = await walkFolder(folder, path, { signal: options.signal })
    for (const each of skipped) options.onSkip?.(each)
    return files.map((file) => ({
      ...carrier.below(output, file.path.slice(path.length + 1)),
      ...(output.type === undefined ? {} : { type: output.type }),
      path: file.path,
    }))
  }
}

/** Sends one file. */
export async function uploadFile(
  upload: OutputFile,
  {
    folder,
    budget,
    carrierOf,
    patience,
    signal,
    onProgress,
  }: {
    folder: string
    budget: Budget
    carrierOf: (url: string) => Promise<Carrier>
    patience: Patience
    signal: AbortSignal
    onProgress: UploadOptions['onProgress']
  },
): Promise<SentFile> {
  const { path, type, renew } = upload
  const { handle, bytes } = await openRegular(folder, path)
  try {
    budget.share(path)(bytes)
    const tell = createMeter(path, patience.clock, onProgress)
    let farthest = 0
    const sha256 = await withPatience(patience, signal, async (moved) => {
      const request = renew === undefined ? upload : await renew(signal)
      const carrier = await carrierOf(request.url)
      let hash = createHash('sha256')
      const content: Content = {
        name: basename(path),
        bytes,
        type,
        open: () => {
          hash = createHash('sha256')
          return readAll(handle, path, bytes, (chunk, sent) => {
            hash.update(chunk)
            tell(sent, bytes)
            if (sent <= farthest) return
            farthest = sent
            moved()
          })
        },
      }
      await carrier.write(request, content, signal)
      return hash.digest('hex')
    })
    tell(bytes, bytes, true)
    return { path, url: shownUrl(upload.url), bytes, sha256, ...(type === undefined ? {} : { type }) }
  } finally {
    await handle.close()
  }
}

const CHUNK_BYTES = 256 * 1024

/** The first `bytes` bytes of a file; FileError('changed') when there are fewer. */
async function* readAll(
  handle: FileHandle,
  path: string,
  bytes: number,
  onChunk: (chunk: Uint8Array, sent: number) => void,
): AsyncGenerator<Uint8Array> {
  for (let position = 0; position < bytes;) {
    const length = Math.min(CHUNK_BYTES, bytes - position)
    // One for each: who reads them keeps them while the next is read.
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length, position)
    if (bytesRead === 0) {
      throw new FileError('changed', path, `${JSON.stringify(path)} became shorter while it was read`)
    }
    const chunk = buffer.subarray(0, bytesRead)
    position += bytesRead
    onChunk(chunk, position)
    yield chunk
  }
}
