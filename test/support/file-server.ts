import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A plain store of files on a real socket: what PUT has brought, GET gives back. */
export class FileServer implements AsyncDisposable {
  readonly files = new Map<string, Buffer>()
  /** `GET /name`, in their order. */
  readonly requests: string[] = []
  /** Answers in its place when it returns true. */
  fault: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  readonly #server = createServer((request, response) => {
    void this.#answer(request, response)
  })

  static async start(): Promise<FileServer> {
    const made = new FileServer()
    await new Promise<void>((resolve) => made.#server.listen(0, '127.0.0.1', resolve))
    return made
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  url(name: string): string {
    return `http://${this.host}/${name}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = decodeURIComponent((request.url ?? '').replace(/^\/|\?.*/g, ''))
    this.requests.push(`${request.method ?? ''} /${name}`)
    if (this.fault?.(request, response) === true) return
    const parts: Buffer[] = []
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part)
    if (request.method === 'PUT') {
      this.files.set(name, Buffer.concat(parts))
      response.writeHead(200).end()
      return
    }
    const found = this.files.get(name)
    if (found === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'Content-Length': found.length }).end(found)
  }
}
