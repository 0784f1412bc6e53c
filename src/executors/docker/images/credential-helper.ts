import { spawn } from 'node:child_process'
import { messageOf } from '../../../core/errors.ts'
import { asRecord } from '../../../core/unknown-json.ts'
import type { Environment } from '../api/docker-config.ts'

/** What a helper knows of a registry; a token takes the place of name and password. */
export interface HelperAnswer {
  username: string
  secret: string
  isToken: boolean
}

export interface HelperOptions {
  environment: Environment
  signal: AbortSignal
  /** Longest time that it may take. */
  timeoutMs: number
}

const MOST_OUTPUT = 1_000_000

/**
 * Asks `docker-credential-<helper> get` for a server; undefined when it has nothing for it. Throws when it fails, with
 * nothing that it has printed in the message, and the signal's reason.
 */
export async function askHelper(
  helper: string,
  server: string,
  options: HelperOptions,
): Promise<HelperAnswer | undefined> {
  const program = `docker-credential-${helper}`
  const { code, stdout } = await run(program, server, options)
  if (code !== 0) {
    // Its standard output says so, in English, by the helpers' protocol.
    if (/credentials not found/i.test(stdout)) return undefined
    const end = code === null ? 'was killed' : `failed with exit code ${code}`
    throw new Error(`the credential helper ${program} ${end}`)
  }
  const answer = parse(stdout)
  if (answer === undefined) throw new Error(`the credential helper ${program} answered no JSON`)
  const { Username: username, Secret: secret } = answer
  if (typeof secret !== 'string' || secret === '') return undefined
  const name = typeof username === 'string' ? username : ''
  return { username: name, secret, isToken: name === '<token>' }
}

async function run(
  program: string,
  input: string,
  { environment, signal, timeoutMs }: HelperOptions,
): Promise<{ code: number | null; stdout: string }> {
  signal.throwIfAborted()
  const child = spawn(program, ['get'], { env: environment, stdio: ['pipe', 'pipe', 'ignore'] })
  let timer: NodeJS.Timeout | undefined
  let cancel: (() => void) | undefined
  try {
    return await new Promise((resolve, reject) => {
      let stdout = ''
      child.stdout.setEncoding('utf8').on('data', (part: string) => {
        if (stdout.length < MOST_OUTPUT) stdout += part
      })
      child.once('error', (error) => {
        reject(new Error(`the credential helper ${program} can't be run: ${messageOf(error)}`))
      })
      child.once('close', (code) => {
        resolve({ code, stdout })
      })
      timer = setTimeout(() => {
        reject(new Error(`the credential helper ${program} did not answer for ${timeoutMs / 1000} s`))
      }, timeoutMs)
      cancel = () => {
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', cancel, { once: true })
      // A helper that ends without reading must not end us.
      child.stdin.on('error', () => undefined).end(input)
    })
  } finally {
    clearTimeout(timer)
    if (cancel !== undefined) signal.removeEventListener('abort', cancel)
    child.kill('SIGKILL')
    // What it has started may hold the pipes open for as long as it likes.
    child.stdin.destroy()
    child.stdout.destroy()
  }
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return asRecord(JSON.parse(text))
  } catch {
    return undefined
  }
}
