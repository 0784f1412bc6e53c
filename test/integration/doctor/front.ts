import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request as send, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { EmbeddedInfo } from '../../../src/embedded/index.ts'

/** Stands before the embedded servers, with keys of its own for them, and answers as other surroundings would. */
export class Front implements AsyncDisposable {
  /** How far its clock is ahead of ours. */
  shiftMs = 0
  /** Actions that the caller has no right to. */
  readonly denied = new Set<string>()
  /** What was asked, e.g. `GetQueueAttributes`. */
  readonly actions: string[] = []
  /** Answers nothing any more. */
  hangs = false
  readonly #server: Server
  readonly #info: EmbeddedInfo

  private constructor(server: Server, info: EmbeddedInfo) {
    this.#server = server
    this.#info = info
    server.on('request', (incoming: IncomingMessage, outgoing) => {
      void this.#answer(incoming).then((answer) => {
        if (answer === undefined) return
        const { status, type, body } = answer
        const date = new Date(Date.now() + this.shiftMs).toUTCString()
        outgoing.writeHead(status, { 'Content-Type': type, Date: date }).end(body)
      })
    })
  }

  static async start(info: EmbeddedInfo): Promise<Front> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Front(server, info)
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async #answer(
    incoming: IncomingMessage,
  ): Promise<{ status: number; type: string; body: Buffer | string } | undefined> {
    const target = String(incoming.headers['x-amz-target'])
    const action = target.split('.').at(-1) ?? ''
    const body = await buffer(incoming)
    this.actions.push(action)
    if (this.hangs) return undefined
    const type = String(incoming.headers['content-type'])
    if (this.denied.has(action)) {
      const error = { __type: 'AccessDeniedException', message: `not authorized to perform: ${action}` }
      return { status: 400, type, body: JSON.stringify(error) }
    }
    const outgoing = send(this.#info.endpoints.sqs, {
      method: 'POST',
      headers: this.#sign(body, { 'content-type': type, 'x-amz-target': target }),
    }).end(body)
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    return { status: response.statusCode ?? 500, type, body: await buffer(response) }
  }

  /** Signature Version 4 of a POST to `/`. */
  #sign(body: Buffer, headers: Record<string, string>): Record<string, string> {
    const { accessKeyId, secretAccessKey, region, endpoints } = this.#info
    const now = `${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`
    const all: Record<string, string> = { ...headers, host: new URL(endpoints.sqs).host, 'x-amz-date': now }
    const names = Object.keys(all).sort()
    const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex')
    const lines = names.map((name) => `${name}:${all[name] ?? ''}`)
    const canonical = ['POST', '/', '', ...lines, '', names.join(';'), sha256(body)].join('\n')
    const scope = [now.slice(0, 8), region, 'sqs', 'aws4_request']
    const key = scope.reduce<Buffer | string>(
      (above, part) => createHmac('sha256', above).update(part).digest(),
      `AWS4${secretAccessKey}`,
    )
    const text = ['AWS4-HMAC-SHA256', now, scope.join('/'), sha256(canonical)].join('\n')
    const signature = createHmac('sha256', key).update(text).digest('hex')
    return {
      ...all,
      authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope.join('/')}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
