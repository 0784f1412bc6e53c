import { randomBytes, randomInt } from 'node:crypto'
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Credentials } from './guard.ts'
import { parseJsonObject } from './json-object.ts'

/** What the processes of one data directory agree on; written by the one that serves. */
export interface State extends Credentials {
  port: number
}

const FILE = 'embedded.json'

/** Undefined when there is none, or none that can be understood. */
export async function readState(dataDir: string): Promise<State | undefined> {
  const text = await readFile(join(dataDir, FILE), 'utf8').catch(() => '')
  const { port, accessKeyId, secretAccessKey } = parseJsonObject(text) ?? {}
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined
  if (typeof accessKeyId !== 'string' || accessKeyId === '') return undefined
  if (typeof secretAccessKey !== 'string' || secretAccessKey === '') return undefined
  return { port, accessKeyId, secretAccessKey }
}

/** Replaces the state in one step; only its owner may read it. */
export async function writeState(dataDir: string, state: State): Promise<void> {
  const temporary = join(dataDir, `.${FILE}.${randomBytes(6).toString('hex')}`)
  const file = await open(temporary, 'wx', 0o600)
  try {
    await file.writeFile(`${JSON.stringify(state)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, join(dataDir, FILE))
}

export function createCredentials(): Credentials {
  return { accessKeyId: `LOCAL${randomText(15)}`, secretAccessKey: randomBytes(30).toString('base64url') }
}

/**
 * A port below the range from which systems give ports to outgoing connections: one of these could take it while
 * nobody serves, even a client of ours that tries to connect (it would then be connected to itself).
 */
export function randomPort(): number {
  return randomInt(15_000, 32_000)
}

function randomText(length: number): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  return Array.from({ length }, () => letters.charAt(randomInt(letters.length))).join('')
}
