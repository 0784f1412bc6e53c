import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { EXIT, messageOf, OperatorError } from '../core/errors.ts'
import { JsonSyntaxError, parseJson, type Json } from '../core/json.ts'

/** Far above what a table can hold; a file of another sort is not read to its end. */
const MOST_BYTES = 16 * 1024 ** 2

/** JSON with exact numbers; `flag` names where it stood. OperatorError with exit code 2 names line and column. */
export function readJsonText(text: string, flag: string): Json {
  if (text.trim() === '')
    throw wrong(flag, 'is empty where JSON is wanted', '', 'Write JSON, such as [0.5, 1.25].')
  try {
    return parseJson(text)
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error
    const before = text.slice(0, error.position).split('\n')
    const place = `line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`
    throw wrong(
      flag,
      'is not JSON',
      `${error.message} (${place})`,
      'In a shell, put single quotes around JSON.',
    )
  }
}

/** The text of a file, or of standard input for `-`. OperatorError with exit code 2. */
export async function readTextFile(path: string, flag: string, stdin: Readable): Promise<string> {
  let bytes: Uint8Array
  try {
    bytes = path === '-' ? await readAll(stdin) : await readFile(path)
  } catch (error) {
    throw wrong(flag, "can't be read", messageOf(error), 'Name a file that exists and may be read.')
  }
  if (bytes.length > MOST_BYTES)
    throw wrong(flag, 'is larger than 16 MiB', '', 'A table item holds 400 KB at most.')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw wrong(flag, 'is not text in UTF-8', '', 'Name a text file.')
  }
}

async function readAll(stream: Readable): Promise<Uint8Array> {
  const parts: Buffer[] = []
  let length = 0
  for await (const chunk of stream as AsyncIterable<Buffer | string>) {
    const part = Buffer.from(chunk)
    parts.push(part)
    length += part.length
    if (length > MOST_BYTES) break
  }
  return Buffer.concat(parts)
}

function wrong(flag: string, what: string, why: string, hint: string): OperatorError {
  return new OperatorError(`${flag} ${what}`, why, hint, EXIT.usage)
}
