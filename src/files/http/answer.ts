import type { IncomingMessage } from 'node:http'
import { shownUrl } from '../../core/shown-url.ts'
import { escapeControls } from '../../core/text.ts'
import { FileError, TransientError, type FileErrorReason } from '../files.ts'

/** Of an answer that says no, so much is read. */
const MOST_BYTES = 16 * 1024
const LONGEST_PAUSE_MS = 120_000

const REASONS: Readonly<Partial<Record<number, FileErrorReason>>> = {
  401: 'denied',
  403: 'denied',
  404: 'not_found',
  410: 'not_found',
  413: 'too_large',
}

/** What an answer means that is not the wanted one. Reads what it says of the reason; never rejects. */
export async function failure(response: IncomingMessage, url: string): Promise<FileError | TransientError> {
  const status = response.statusCode ?? 0
  const { code, text } = await reasonOf(response)
  const message = `${shownUrl(url)} answered ${status}${text}`
  // S3 says so when a body came too slowly.
  const passes = status >= 500 || [408, 425, 429].includes(status) || code === 'RequestTimeout'
  if (passes) return new TransientError(message, { retryAfterMs: pauseOf(response) })
  return new FileError(REASONS[status] ?? 'refused', '', message)
}

/** Code and message of an S3 error. Nothing else of it is told: it may quote signatures. */
async function reasonOf(response: IncomingMessage): Promise<{ code: string; text: string }> {
  let body = ''
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      body += chunk.toString('latin1')
      if (body.length > MOST_BYTES) break
    }
  } catch {
    // The status alone has to do.
  }
  response.destroy()
  const code = /<Code>([\w.]{1,60})<\/Code>/.exec(body)?.[1] ?? ''
  const said = /<Message>([^<]{1,200})/.exec(body)?.[1] ?? ''
  const text = code === '' ? '' : ` (${code}${said === '' ? '' : `: ${escapeControls(said)}`})`
  return { code, text }
}

/** Retry-After in either form. */
function pauseOf(response: IncomingMessage): number | undefined {
  const value = response.headers['retry-after']
  if (value === undefined) return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), LONGEST_PAUSE_MS) : undefined
}
