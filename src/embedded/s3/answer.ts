import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { S3Error } from './errors.ts'
import { xmlDocument, type XmlTree } from './xml.ts'

/** Of a body that is not wanted any more, so much is read before its connection is closed. */
const MOST_IGNORED_BYTES = 256 * 1024 * 1024

/** Sends a document, with status 200 unless told otherwise. */
export function sendXml(response: ServerResponse, root: string, tree: XmlTree, status = 200): void {
  send(response, status, xmlDocument(root, tree))
}

/** Sends `text` as it is; '' = an answer without a body. */
export function send(response: ServerResponse, status: number, text = ''): void {
  if (response.destroyed) return
  begin(response, status, text)
  response.end(text)
}

/** Sends an error in S3's words, unless an answer is on its way already. */
export function refuseS3(response: ServerResponse, error: S3Error): void {
  if (response.headersSent || response.destroyed) return
  const { req: request } = response
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value)
  const tree = { Code: error.code, Message: error.message, ...error.more, RequestId: randomUUID() }
  const text = request.method === 'HEAD' || error.status === 304 ? '' : xmlDocument('Error', tree, false)
  if (request.complete) {
    send(response, error.status, text)
    return
  }
  // Closed while the client still sends, the connection would be reset, and the answer be lost.
  response.setHeader('connection', 'close')
  begin(response, error.status, text)
  response.write(text)
  void ignoreRest(request).finally(() => response.end())
}

function begin(response: ServerResponse, status: number, text: string): void {
  const type = text === '' ? {} : { 'content-type': 'application/xml' }
  const length = status === 204 || status === 304 ? {} : { 'content-length': Buffer.byteLength(text) }
  response.writeHead(status, { ...type, ...length, 'x-amz-request-id': randomUUID() })
  response.flushHeaders()
}

async function ignoreRest(request: IncomingMessage): Promise<void> {
  let bytes = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > MOST_IGNORED_BYTES) return
    }
  } catch {
    // The client has gone.
  }
}
