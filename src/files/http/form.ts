import { randomUUID } from 'node:crypto'
import type { Content } from '../files.ts'

export interface Form {
  contentType: string
  bytes: number
  open(): AsyncIterable<Uint8Array>
}

/** A multipart/form-data body: the fields in their order, then the file, as S3 wants it. */
export function createForm(fields: Readonly<Record<string, string>>, content: Content): Form {
  const boundary = `----${randomUUID()}`
  const open = (name: string, rest = ''): string =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(name)}"${rest}\r\n`
  const parts = Object.entries(fields).map(([name, value]) => `${open(name)}\r\n${value}\r\n`)
  const type = content.type ?? fields['Content-Type'] ?? 'application/octet-stream'
  const file = `${open('file', `; filename="${quoted(content.name)}"`)}Content-Type: ${type}\r\n\r\n`
  const head = Buffer.from(parts.join('') + file)
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    bytes: head.length + content.bytes + tail.length,
    async *open() {
      yield head
      yield* content.open()
      yield tail
    },
  }
}

/** As browsers write names (WHATWG, multipart/form-data encoding algorithm). */
function quoted(name: string): string {
  return name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}
