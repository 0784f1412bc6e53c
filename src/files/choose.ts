import { systemClock } from '../core/clock.ts'
import { about } from './about.ts'
import { createBudget } from './budget.ts'
import { downloadFile } from './download.ts'
import { FileError, type Carrier, type Content, type Files } from './files.ts'
import { assertApart, assertSafePath } from './paths.ts'
import { pull } from './pull.ts'
import { inParallel, PATIENCE, withPatience, type Patience } from './retry.ts'
import { listUploads, uploadFile } from './upload.ts'

/** Files that are on their way at the same time. */
const WIDTH = 4
const SCHEME = /^(s3|https?|file):\/\//i

export interface FilesOptions {
  /** Asked for when the first address of the sort comes: their packages are large. */
  carriers: Readonly<Record<'s3' | 'http' | 'file', () => Promise<Carrier>>>
  patience?: Partial<Patience>
}

/** Files by the schemes of their addresses. */
export function createFiles({ carriers, patience: given }: FilesOptions): Files {
  const patience: Patience = { clock: systemClock, ...PATIENCE, ...given }
  const opened = new Map<keyof typeof carriers, Promise<Carrier>>()

  function schemeOf(url: string): keyof typeof carriers {
    const scheme = SCHEME.exec(url)?.[1]?.toLowerCase()
    if (scheme === undefined) {
      throw new FileError('bad_url', '', 'an address must begin with s3://, https://, http:// or file://')
    }
    return scheme === 's3' || scheme === 'file' ? scheme : 'http'
  }

  async function carrierOf(url: string): Promise<Carrier> {
    const scheme = schemeOf(url)
    const known = opened.get(scheme) ?? carriers[scheme]()
    opened.set(scheme, known)
    const carrier = await known
    carrier.assertUsable(url)
    return carrier
  }

  return {
    async download(inputs, folder, { signal, maxBytes, onProgress }) {
      for (const { path } of inputs) assertSafePath(path)
      assertApart(inputs.map(({ path }) => path))
      for (const { path, url, renew } of inputs) {
        if (renew === undefined) await about(path, () => carrierOf(url))
      }
      const budget = createBudget(maxBytes)
      await inParallel(inputs, WIDTH, signal, async (input, each) => {
        const options = { input, folder, budget, carrierOf, patience, onProgress, signal: each }
        await about(input.path, () => downloadFile(options))
      })
    },

    async upload(outputs, folder, options) {
      const { signal, maxBytes, onProgress } = options
      for (const { path, url, renew } of outputs) {
        if (renew === undefined) await about(path, () => carrierOf(url))
      }
      const uploads = await listUploads(outputs, folder, carrierOf, options)
      const budget = createBudget(maxBytes)
      return await inParallel(uploads, WIDTH, signal, async (upload, each) => {
        const how = { folder, budget, carrierOf, patience, onProgress, signal: each }
        return await about(upload.path, () => uploadFile(upload, how))
      })
    },

    async readBytes(url, { signal, maxBytes }) {
      let parts: Uint8Array[] = []
      const count = createBudget(maxBytes).share('')
      await pull(
        { path: '', request: { url }, carrierOf, patience, signal, count },
        {
          write: async (chunk) => {
            parts.push(chunk)
            await Promise.resolve()
          },
          restart: async () => {
            parts = []
            await Promise.resolve()
          },
        },
      )
      return Buffer.concat(parts)
    },

    async writeBytes(url, data, { signal, contentType }) {
      const carrier = await carrierOf(url)
      const content: Content = {
        name: url.slice(url.lastIndexOf('/') + 1).replace(/\?.*/s, ''),
        bytes: data.length,
        type: contentType,
        async *open() {
          if (data.length > 0) yield await Promise.resolve(data)
        },
      }
      await withPatience(patience, signal, () => carrier.write({ url }, content, signal))
    },

    async assertUsable(url) {
      await carrierOf(url)
    },

    close() {
      for (const carrier of opened.values()) {
        void carrier.then(
          (each) => {
            each.close()
          },
          () => undefined,
        )
      }
      opened.clear()
    },
  }
}
