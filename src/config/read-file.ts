import { open } from 'node:fs/promises'
import { messageOf } from '../core/errors.ts'
import type { ConfigProblem } from './problem.ts'
import { wholeFile } from './read-yaml.ts'

/** Text of a config file and who may read it, `undefined` when it does not exist, or what is wrong with it. */
export async function readConfigFile(
  path: string,
  shown: string,
): Promise<{ text: string; openToOthers: boolean } | ConfigProblem | undefined> {
  try {
    await using file = await open(path, 'r')
    const status = await file.stat()
    if (status.isDirectory()) return wholeFile(shown, 'is a folder', 'name the file itself')
    const bytes = await readAtMost(file, LARGEST)
    if (bytes === undefined) {
      return wholeFile(shown, 'is larger than 1 MiB, too large for a config file', 'name the right file')
    }
    const text = decode(bytes)
    if (text === undefined) {
      return wholeFile(shown, 'is not text in UTF-8', 'name the right file, or save it as UTF-8')
    }
    return { text, openToOthers: status.isFile() && (status.mode & 0o044) !== 0 }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    if (code === 'EACCES' || code === 'EPERM') {
      return wholeFile(shown, 'may not be read by this user', 'change its owner or its rights (chmod 600)')
    }
    return wholeFile(shown, `can't be read: ${messageOf(error)}`, 'name another file')
  }
}

const LARGEST = 1024 ** 2

/** A device or a pipe has no size to ask for, so it is read until it is too long. */
async function readAtMost(
  file: { read(buffer: Uint8Array): Promise<{ bytesRead: number }> },
  most: number,
): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = []
  let total = 0
  for (;;) {
    const buffer = new Uint8Array(65_536)
    const { bytesRead } = await file.read(buffer)
    if (bytesRead === 0) return Buffer.concat(parts)
    total += bytesRead
    if (total > most) return undefined
    parts.push(buffer.subarray(0, bytesRead))
  }
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    // A byte order mark is taken off by the decoder.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined
  }
}
