import { randomBytes } from 'node:crypto'
import { get } from 'node:http'
import { isEqual, proofOf } from './guard.ts'
import { MEMBER_PATH, NONCE_HEADER, PROOF_HEADER } from './server.ts'
import type { State } from './state-file.ts'

/** How long a living server may take to answer a newcomer. */
const ANSWER_TIMEOUT_MS = 5000

/** A connection to the process that serves. */
export interface MemberLink {
  /** Resolves when that process has ended, or has stopped serving. */
  readonly ended: Promise<void>
  close(): void
}

/** Connects to the server that `state` tells of; undefined when none of ours answers there. */
export async function connect(state: State, signal: AbortSignal): Promise<MemberLink | undefined> {
  const nonce = randomBytes(16).toString('hex')
  return await new Promise((resolve) => {
    const request = get({
      host: '127.0.0.1',
      port: state.port,
      path: MEMBER_PATH,
      headers: { [NONCE_HEADER]: nonce, [PROOF_HEADER]: proofOf('member', nonce, state.secretAccessKey) },
      // A connection of its own, which nothing else uses or ends.
      agent: false,
      signal,
    })
    const timer = setTimeout(() => request.destroy(), ANSWER_TIMEOUT_MS)
    request.once('close', () => {
      finish(undefined)
    })
    request.on('error', () => {
      finish(undefined)
    })
    request.once('response', (response) => {
      const proof = response.headers[PROOF_HEADER]
      if (typeof proof !== 'string' || !isEqual(proof, proofOf('server', nonce, state.secretAccessKey))) {
        request.destroy()
        return
      }
      const ended = new Promise<void>((end) =>
        response.once('close', () => {
          end()
        }),
      )
      response.on('error', () => undefined)
      response.resume()
      finish({
        ended,
        close: () => {
          request.destroy()
        },
      })
    })

    function finish(link: MemberLink | undefined): void {
      clearTimeout(timer)
      resolve(link)
    }
  })
}
