import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../core/log.ts'
import { messageOf } from '../core/errors.ts'
import { internalError, refuse, reply, signatureError, type ServiceName } from './answers.ts'
import { ApiError, serializationError, unknownOperation } from './api-error.ts'
import type { Caller } from './caller.ts'
import { findForeignness, findSignatureProblem, isEqual, proofOf, type Credentials } from './guard.ts'
import { parseJsonObject, type JsonObject } from './json-object.ts'
import { refuseS3 } from './s3/answer.ts'
import { S3Error } from './s3/errors.ts'
import { isForS3 } from './s3/signature.ts'

/** Where members of the same data directory keep a connection, so that they see at once when the server dies. */
export const MEMBER_PATH = '/.opthub/member'
export const NONCE_HEADER = 'x-opthub-nonce'
export const PROOF_HEADER = 'x-opthub-proof'

/** DynamoDB's largest request; the largest of SQS fits in, written as JSON. */
const MAX_BODY_BYTES = 16 * 1024 * 1024
/** Clients keep connections for up to a minute and must not meet one that is just closing. */
const KEEP_ALIVE_MS = 75_000
/** The heads of requests come at once; the bodies of large objects take as long as they take. */
const HEADERS_MS = 60_000
/** How long requests that have begun may take when the server closes. */
const DRAIN_MS = 1000

export interface Services {
  sqs(action: string, request: JsonObject, caller: Caller): Promise<object>
  dynamodb(action: string, request: JsonObject): Promise<object>
  /** Checks the signature and answers by itself; throws S3Error before anything was sent. */
  s3(request: IncomingMessage, response: ServerResponse): Promise<void>
}

export interface EmbeddedServer {
  readonly port: number
  /** From now on requests are answered; before, they wait. */
  open(services: Services): void
  close(): Promise<void>
}

/**
 * Listens on 127.0.0.1 and answers AWS's JSON protocol for SQS and DynamoDB, and S3's own. Port 0 = any. Rejects with EADDRINUSE and
 * the like. Nothing is answered before `open`.
 */
export async function listen(port: number, credentials: Credentials, log: Logger): Promise<EmbeddedServer> {
  const busy = new Set<ServerResponse>()
  let services: Services | undefined
  let opened: () => void = () => undefined
  const ready = new Promise<void>((resolve) => (opened = resolve))
  const server = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: HEADERS_MS, requestTimeout: 0 },
    (request, response) => {
      busy.add(response)
      response.once('close', () => busy.delete(response))
      void serve(request, response)
    },
  )
  server.on('clientError', (_error, socket) => {
    socket.destroy()
  })
  await bind(server, port)
  const address = server.address()
  const boundPort = typeof address === 'object' && address !== null ? address.port : port

  return {
    port: boundPort,
    open(given) {
      services = given
      opened()
    },
    async close() {
      const closed = new Promise<void>((resolve) =>
        server.close(() => {
          resolve()
        }),
      )
      server.closeIdleConnections()
      for (const response of busy) if (mayBeCut(response)) response.destroy()
      const drained = Promise.all(
        [...busy].map((response) => new Promise((resolve) => response.once('close', resolve))),
      )
      const timer = new AbortController()
      await Promise.race([
        drained,
        delay(DRAIN_MS, undefined, { signal: timer.signal }).catch(() => undefined),
      ])
      timer.abort()
      server.closeAllConnections()
      await closed
    },
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const service = serviceOf(request)
    const caller: Caller = {
      gone: watchClient(request.socket, response),
      accessKeyId: credentials.accessKeyId,
    }
    try {
      const foreign = findForeignness(request, boundPort)
      if (foreign !== undefined) throw new ApiError('AccessDeniedException', foreign, { status: 403 })
      if (request.url === MEMBER_PATH) {
        welcome(request, response, credentials)
        return
      }
      if (isForS3(request)) {
        await serveS3(request, response)
        return
      }
      if (request.method !== 'POST') {
        throw new ApiError('com.amazon.coral.service#UnknownOperationException', 'Only POST is answered', {
          status: 405,
        })
      }
      const body = await readBody(request)
      const problem = findSignatureProblem(request, body, credentials)
      if (problem !== undefined) throw signatureError(problem, service)
      const target = targetOf(request)
      const parameters = parseJsonObject(body.length === 0 ? '{}' : body.toString())
      if (parameters === undefined) throw serializationError('The body must be a JSON object')
      await ready
      if (services === undefined) throw new Error('the server is not open')
      const answer =
        target.service === 'sqs'
          ? await handlePoll(response, services.sqs(target.action, parameters, caller), target.action)
          : await services.dynamodb(target.action, parameters)
      reply(response, 200, answer)
    } catch (error) {
      // A client that hung up in the middle of its request is no failure of ours.
      if (!(error instanceof ApiError) && !response.destroyed) {
        log.error('The embedded service failed', { service, why: messageOf(error) })
      }
      refuse(response, error instanceof ApiError ? error : internalError(service), service)
    }
  }

  async function serveS3(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await ready
      if (services === undefined) throw new Error('the server is not open')
      await services.s3(request, response)
    } catch (error) {
      if (!(error instanceof S3Error) && !response.destroyed) {
        log.error('The embedded service failed', { service: 's3', why: messageOf(error) })
      }
      const internal = new S3Error('InternalError', 500, 'The embedded service failed; its log says why')
      refuseS3(response, error instanceof S3Error ? error : internal)
    }
  }
}

/** Long polls hold nothing that would be lost, and would hold up the end. */
const polls = new WeakSet<ServerResponse>()

async function handlePoll(response: ServerResponse, work: Promise<object>, action: string): Promise<object> {
  if (action === 'ReceiveMessage') polls.add(response)
  return await work
}

function mayBeCut(response: ServerResponse): boolean {
  return polls.has(response) || members.has(response)
}

const members = new WeakSet<ServerResponse>()

/** Answers a process of ours, and leaves the connection open for as long as both live. */
function welcome(request: IncomingMessage, response: ServerResponse, { secretAccessKey }: Credentials): void {
  const nonce = request.headers[NONCE_HEADER]
  const proof = request.headers[PROOF_HEADER]
  if (typeof nonce !== 'string' || typeof proof !== 'string') throw accessDenied()
  if (!isEqual(proof, proofOf('member', nonce, secretAccessKey))) throw accessDenied()
  members.add(response)
  response.writeHead(200, { [PROOF_HEADER]: proofOf('server', nonce, secretAccessKey) })
  response.flushHeaders()
}

function accessDenied(): ApiError {
  return new ApiError('AccessDeniedException', 'Not a member', { status: 403 })
}

function targetOf(request: IncomingMessage): { service: ServiceName; action: string } {
  const target = String(request.headers['x-amz-target'] ?? '')
  const [, prefix, action] = /^(AmazonSQS|DynamoDB_20120810)\.([A-Za-z]+)$/.exec(target) ?? []
  if (action === undefined) throw unknownOperation(`The header X-Amz-Target names no action: ${target}`)
  return { service: prefix === 'AmazonSQS' ? 'sqs' : 'dynamodb', action }
}

/** Whose words an error is put in. */
function serviceOf(request: IncomingMessage): ServiceName {
  return String(request.headers['x-amz-target'] ?? '').startsWith('AmazonSQS') ? 'sqs' : 'dynamodb'
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) {
      throw new ApiError(
        'com.amazon.coral.service#RequestEntityTooLargeException',
        'The request is too large',
        {
          status: 413,
        },
      )
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** What was last handed to a connection, and how to say that nobody read it. */
const lastAnswers = new WeakMap<Socket, AbortController>()

/**
 * Aborted when the client is gone before it can have read the answer: the connection ended before the answer was
 * sent, or was reset right after it (which the kernel does when a closed client is sent something).
 */
function watchClient(socket: Socket, response: ServerResponse): AbortSignal {
  const controller = new AbortController()
  if (!lastAnswers.has(socket)) socket.once('error', () => lastAnswers.get(socket)?.abort())
  lastAnswers.set(socket, controller)
  response.once('close', () => {
    if (!response.writableFinished) controller.abort()
  })
  return controller.signal
}

async function bind(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
