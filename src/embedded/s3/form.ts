import type { IncomingMessage } from 'node:http'
import { bytesOf } from './body.ts'
import { S3Error, s3Errors } from './errors.ts'

/** Of all fields before the file, as at S3. */
const MOST_FIELD_BYTES = 20 * 1024

/** A multipart/form-data body that was read up to its file. */
export interface Form {
  /** By their names in lower case, in the order of the form. */
  fields: Map<string, string>
  /** As the browser told it; '' when it did not. */
  filename: string
  /** To its end; what follows it is of no account, as at S3. */
  file: AsyncIterable<Buffer>
}

/** Whether a request is a form of a browser. */
export function isForm({ method, headers }: IncomingMessage): boolean {
  return method === 'POST' && /^multipart\/form-data\b/i.test(headers['content-type'] ?? '')
}

/** Reads the fields; the file, which must be the last of them, is streamed. Throws S3Error. */
export async function readForm(request: IncomingMessage): Promise<Form> {
  const [, quoted, plain] =
    /boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))/i.exec(request.headers['content-type'] ?? '') ?? []
  const boundary = quoted ?? plain
  if (boundary === undefined) throw s3Errors.malformedForm('The Content-Type names no boundary')
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  const reader = new Reader(bytesOf(request))
  await reader.until(delimiter)
  const fields = new Map<string, string>()
  while (!(await reader.until(Buffer.from('\r\n'))).trim().startsWith('--')) {
    const head = await readHead(reader)
    const name = parameterOf(head, 'name')
    if (name === undefined) throw s3Errors.malformedForm('A part of the form has no name')
    if (name.toLowerCase() === 'file') {
      return { fields, filename: parameterOf(head, 'filename') ?? '', file: reader.rest(delimiter) }
    }
    fields.set(name.toLowerCase(), await reader.until(delimiter))
  }
  throw s3Errors.invalidArgument('POST requires exactly one file upload per request.')
}

/** The lines before the content of a part. */
async function readHead(reader: Reader): Promise<string> {
  for (let head = ''; ;) {
    const line = await reader.until(Buffer.from('\r\n'))
    if (line === '') return head
    head += `${line}\r\n`
  }
}

/** A parameter of Content-Disposition, as browsers write it. */
function parameterOf(head: string, name: string): string | undefined {
  const line = /^content-disposition:(.*)$/im.exec(head)?.[1] ?? ''
  const [, quoted, plain] =
    new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;]+))`, 'i').exec(line) ?? []
  const value = quoted?.replace(/\\(["\\])/g, '$1') ?? plain
  return value?.replace(/%22|%0D|%0A/gi, (text) => decodeURIComponent(text))
}

class Reader {
  readonly #chunks: AsyncIterator<Buffer>
  /** The first delimiter may stand at the very beginning. */
  #buffer: Buffer = Buffer.from('\r\n')
  #taken = 0

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** The text up to `end`, which is taken too. */
  async until(end: Buffer): Promise<string> {
    for (;;) {
      const found = this.#buffer.indexOf(end)
      const bytes = found === -1 ? this.#buffer.length : found + end.length
      if (this.#taken + bytes > MOST_FIELD_BYTES) {
        throw new S3Error(
          'MaxPostPreDataLengthExceeded',
          400,
          'Your POST request fields preceding the upload file were too large.',
        )
      }
      if (found !== -1) {
        this.#taken += bytes
        const text = this.#buffer.toString('utf8', 0, found)
        this.#buffer = this.#buffer.subarray(bytes)
        return text
      }
      if (!(await this.#more())) throw s3Errors.malformedForm('The form ends before its file')
    }
  }

  /** What stands before `end`, as it comes. */
  async *rest(end: Buffer): AsyncGenerator<Buffer> {
    for (;;) {
      const found = this.#buffer.indexOf(end)
      if (found !== -1) {
        if (found > 0) yield this.#buffer.subarray(0, found)
        return
      }
      // Its last bytes may be the beginning of `end`.
      const sure = this.#buffer.length - end.length + 1
      if (sure > 0) {
        yield this.#buffer.subarray(0, sure)
        this.#buffer = this.#buffer.subarray(sure)
      }
      if (!(await this.#more())) throw s3Errors.malformedForm('The form ends within its file')
    }
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next()
    if (next.done === true) return false
    this.#buffer = this.#buffer.length === 0 ? next.value : Buffer.concat([this.#buffer, next.value])
    return true
  }
}
