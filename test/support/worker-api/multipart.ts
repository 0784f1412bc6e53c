import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** What a form held; of the file only what is needed to compare it. */
export interface ReceivedForm {
  fields: Record<string, string>
  file?: { field: string; name: string; bytes: number; sha256: string; isLast: boolean }
}

/** Reads a multipart form as it flows by: its file may be larger than the memory. */
export async function readForm(request: IncomingMessage): Promise<ReceivedForm> {
  const boundary = /boundary="?([^";]+)"?/.exec(request.headers['content-type'] ?? '')?.[1]
  if (boundary === undefined) throw new Error('no multipart form')
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  const form: ReceivedForm = { fields: {} }
  // The first delimiter has no line end before it.
  let rest: Buffer = Buffer.from('\r\n')
  let part:
    | { name: string; fileName?: string; hash: ReturnType<typeof createHash>; bytes: number; text: Buffer[] }
    | undefined
  const end = { isReached: false }

  function take(data: Buffer): void {
    if (part === undefined) return
    part.bytes += data.length
    part.hash.update(data)
    if (part.fileName === undefined) part.text.push(Buffer.from(data))
  }
  function close(): void {
    if (part === undefined) return
    if (form.file !== undefined) form.file.isLast = false
    if (part.fileName === undefined) form.fields[part.name] = Buffer.concat(part.text).toString()
    else {
      const { name: field, fileName: name, bytes, hash } = part
      form.file = { field, name, bytes, sha256: hash.digest('hex'), isLast: true }
    }
    part = undefined
  }
  function advance(): boolean {
    const at = rest.indexOf(delimiter)
    if (at < 0) {
      const safe = Math.max(0, rest.length - delimiter.length)
      take(rest.subarray(0, safe))
      rest = rest.subarray(safe)
      return false
    }
    const headEnd = rest.indexOf('\r\n\r\n', at + delimiter.length)
    const tail = rest.subarray(at + delimiter.length, at + delimiter.length + 2).toString()
    if (tail === '--') {
      take(rest.subarray(0, at))
      close()
      end.isReached = true
      return false
    }
    if (headEnd < 0) return false
    take(rest.subarray(0, at))
    close()
    const head = rest.subarray(at + delimiter.length, headEnd).toString()
    const fileName = /filename="((?:\\.|[^"])*)"/.exec(head)?.[1]
    const name = /[; ]name="([^"]*)"/.exec(head)?.[1] ?? ''
    part = {
      name,
      ...(fileName !== undefined && { fileName }),
      hash: createHash('sha256'),
      bytes: 0,
      text: [],
    }
    rest = rest.subarray(headEnd + 4)
    return true
  }

  for await (const chunk of request as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    while (!end.isReached && advance());
  }
  if (!end.isReached) throw new Error('the form was cut')
  return form
}
