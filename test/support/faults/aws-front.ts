import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { signAnew, signerOf, type SigningKey } from './aws-signature.ts'
import { refusal, type AwsProtocol, type RawAnswer } from './aws-refusals.ts'
import { Injected, noFaults, type Plan } from './plan.ts'

/** What can go wrong between a client and SQS or DynamoDB. Times in milliseconds. */
export type AwsFault =
  | { kind: 'delay'; ms: number } // forwarded later
  | { kind: 'late'; ms: number } // forwarded at once, answered later
  | { kind: 'failure' } // 500, and nothing happened
  | { kind: 'unavailable' } // 503, and nothing happened
  | { kind: 'throttled' } // the service's "too many requests"
  | { kind: 'conflict' } // a transaction that met another one; elsewhere throttling by another name
  | { kind: 'reset-before' } // the connection ends, and nothing happened
  | { kind: 'reset-middle' } // it happened, and the connection ends in the middle of the answer
  | { kind: 'lost' } // it happened, and the answer is lost
  | { kind: 'hang'; ms: number } // no answer, and nothing happened; ends by a reset
  | { kind: 'again' } // received messages become visible at once, so that another poll gets them too
  | { kind: 'twin' } // received messages are handed to the next poll too, under the same receipts
  | { kind: 'hold' } // received messages come with a later poll, after others
  | { kind: 'stale' } // a read that is not consistent finds nothing yet

export interface AwsFrontOptions {
  /** `http://host:port` of the servers. */
  upstream: string
  /** A key that the servers know; clients may use any, by which they are told apart. */
  key: SigningKey
  plan?: Plan<AwsFault>
  /** Changes the seconds that a ChangeMessageVisibility asks for: shortens the long way back of a released message. */
  visibility?: (seconds: number) => number
}

type Json = Record<string, unknown>

/** One request as it reached the front, in the order of arrival. */
export interface AwsRequest {
  /** Monotonic ms of its arrival. */
  at: number
  /** The access key id it was signed with. */
  client: string
  action: string
  body: Json
  fault: AwsFault['kind'] | undefined
  /** What the server answered, whether or not the client saw it; undefined = it was never asked. */
  status: number | undefined
  /** The server's answer, or the messages that the front handed out in its place. */
  answer: Json | undefined
  /** Monotonic ms at which that answer was there; the effect came before. */
  answeredAt: number
}

interface Message extends Json {
  ReceiptHandle: string
}

/** A front of SQS and DynamoDB that passes everything through but what its plan spoils, and keeps a log of it. */
export class AwsFront implements AsyncDisposable {
  readonly injected = new Injected()
  readonly requests: AwsRequest[] = []
  plan: Plan<AwsFault>
  readonly #options: AwsFrontOptions
  readonly #agent = new http.Agent({ keepAlive: true })
  readonly #closing = new AbortController()
  readonly #server: http.Server
  /** Messages that the next poll of a queue gets, by its URL. */
  readonly #kept = new Map<string, Message[]>()
  /** Monotonic ms until which every connection is cut. */
  #downUntil = 0

  private constructor(options: AwsFrontOptions) {
    this.#options = options
    this.plan = options.plan ?? noFaults
    this.#server = http.createServer({ keepAliveTimeout: 75_000 }, (request, response) => {
      void this.#serve(request, response).catch(() => {
        response.destroy()
      })
    })
  }

  static async start(options: AwsFrontOptions): Promise<AwsFront> {
    const front = new AwsFront(options)
    front.#server.listen(0, '127.0.0.1')
    await once(front.#server, 'listening')
    return front
  }

  /** `http://127.0.0.1:port`. */
  get url(): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`
  }

  /** For `ms` every connection is cut. */
  goDown(ms: number): void {
    this.injected.add('all', 'down')
    this.#downUntil = performance.now() + ms
    this.#server.closeAllConnections()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    this.#server.close()
    this.#server.closeAllConnections()
    this.#agent.destroy()
    await once(this.#server, 'close')
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const client = request.socket
    if (performance.now() < this.#downUntil) {
      client.destroy()
      return
    }
    const at = performance.now()
    const raw = await buffer(request)
    const { protocol, action, body } = read(request, raw)
    const fault = this.#nextFault(action, body)
    const entry: AwsRequest = {
      at,
      client: signerOf(request.headers),
      action,
      body,
      fault: fault?.kind,
      status: undefined,
      answer: undefined,
      answeredAt: Infinity,
    }
    this.requests.push(entry)
    const give = (answer: RawAnswer): void => {
      response.writeHead(answer.status, { ...answer.headers, 'content-length': answer.body.length })
      response.end(answer.body)
    }
    switch (fault?.kind) {
      case 'delay':
        await this.#pause(fault.ms)
        break
      case 'hang':
        await this.#pause(fault.ms)
        client.destroy()
        return
      case 'reset-before':
        client.destroy()
        return
      case 'failure':
      case 'unavailable':
      case 'throttled':
      case 'conflict':
        give(refusal(protocol, action, fault.kind))
        return
      case 'stale':
        give(nothingFound(action))
        return
      default:
    }
    if (client.destroyed) return
    // A poll ends with its client; whatever else has arrived is carried out.
    const gone = new AbortController()
    if (action === 'ReceiveMessage') {
      response.once('close', () => {
        gone.abort()
      })
    }
    const answer =
      (await this.#fromKept(request, entry)) ?? (await this.#forward(request, raw, entry, gone.signal))
    if (action === 'ReceiveMessage' && entry.status === 200) {
      const shown = await this.#afterReceive(request, entry, fault)
      if (shown !== undefined) {
        give(shown)
        return
      }
    }
    if (fault?.kind === 'late') await this.#pause(fault.ms)
    if (fault?.kind === 'lost') client.destroy()
    else if (fault?.kind === 'reset-middle') {
      response.writeHead(answer.status, { ...answer.headers, 'content-length': answer.body.length })
      response.write(answer.body.subarray(0, Math.floor(answer.body.length / 2)), () => client.destroy())
    } else give(answer)
  }

  #nextFault(action: string, body: Json): AwsFault | undefined {
    const fault = this.plan.next(action)
    if (fault === undefined) return undefined
    // What asks for consistency is never stale, whoever answers.
    const isNone = fault.kind === 'stale' && (body['ConsistentRead'] === true || !(action in NOTHING))
    this.injected.add(action, isNone ? 'stale-refused' : fault.kind)
    return isNone ? undefined : fault
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined)
  }

  async #forward(
    request: IncomingMessage,
    raw: Buffer,
    entry: AwsRequest,
    signal: AbortSignal,
  ): Promise<RawAnswer> {
    const { visibility } = this.#options
    let sent = raw
    if (entry.action === 'ChangeMessageVisibility' && visibility !== undefined) {
      const seconds = visibility(Number(entry.body['VisibilityTimeout']))
      sent = Buffer.from(JSON.stringify({ ...entry.body, VisibilityTimeout: seconds }))
    }
    const answer = await this.#post(request.headers, sent, signal)
    entry.answeredAt = performance.now()
    entry.status = answer.status
    entry.answer = parse(answer.body)
    return answer
  }

  async #post(headers: http.IncomingHttpHeaders, body: Buffer, signal: AbortSignal): Promise<RawAnswer> {
    const { upstream, key } = this.#options
    const { host } = new URL(upstream)
    const request = http.request(upstream, {
      method: 'POST',
      headers: signAnew(headers, body, key, host),
      agent: this.#agent,
      signal,
    })
    request.end(body)
    const [answer] = (await once(request, 'response')) as [IncomingMessage]
    const kept = ['content-type', 'x-amz-crc32', 'x-amzn-requestid', 'x-amzn-query-error']
    return {
      status: answer.statusCode ?? 500,
      headers: Object.fromEntries(
        kept.flatMap((name) => {
          const value = answer.headers[name]
          return value === undefined ? [] : [[name, String(value)]]
        }),
      ),
      body: await buffer(answer),
    }
  }

  /** An action of the front's own, in the name of a client's request. */
  async #act(request: IncomingMessage, action: string, body: Json): Promise<boolean> {
    const headers = { ...request.headers, 'x-amz-target': `AmazonSQS.${action}` }
    const signal = this.#closing.signal
    const answer = await this.#post(headers, Buffer.from(JSON.stringify(body)), signal).catch(() => undefined)
    return answer?.status === 200
  }

  /** What was kept for the next poll, as far as its receipts still hold. */
  async #fromKept(request: IncomingMessage, entry: AwsRequest): Promise<RawAnswer | undefined> {
    if (entry.action !== 'ReceiveMessage') return undefined
    const QueueUrl = String(entry.body['QueueUrl'])
    const kept = this.#kept.get(QueueUrl) ?? []
    const taken = kept.splice(0, Number(entry.body['MaxNumberOfMessages'] ?? 1))
    const Messages: Message[] = []
    for (const message of taken) {
      const { ReceiptHandle } = message
      const VisibilityTimeout = entry.body['VisibilityTimeout'] ?? 30
      const isHeld = await this.#act(request, 'ChangeMessageVisibility', {
        QueueUrl,
        ReceiptHandle,
        VisibilityTimeout,
      })
      if (isHeld) Messages.push(message)
    }
    if (Messages.length === 0) return undefined
    entry.answeredAt = performance.now()
    entry.status = 200
    entry.answer = { Messages }
    return received(Messages)
  }

  /** What a fault does to received messages; an answer is given instead of theirs. */
  async #afterReceive(
    request: IncomingMessage,
    entry: AwsRequest,
    fault: AwsFault | undefined,
  ): Promise<RawAnswer | undefined> {
    const QueueUrl = String(entry.body['QueueUrl'])
    const messages = (entry.answer?.['Messages'] ?? []) as Message[]
    const keep = (): void => {
      this.#kept.set(QueueUrl, [...(this.#kept.get(QueueUrl) ?? []), ...messages])
    }
    switch (fault?.kind) {
      case 'again':
        for (const { ReceiptHandle } of messages) {
          await this.#act(request, 'ChangeMessageVisibility', {
            QueueUrl,
            ReceiptHandle,
            VisibilityTimeout: 0,
          })
        }
        return undefined
      case 'twin':
        keep()
        return undefined
      case 'hold':
        keep()
        entry.answer = {}
        return received([])
      default:
        return undefined
    }
  }
}

const NOTHING: Record<string, object> = {
  GetItem: {},
  Query: { Items: [], Count: 0, ScannedCount: 0 },
  Scan: { Items: [], Count: 0, ScannedCount: 0 },
}

function nothingFound(action: string): RawAnswer {
  return json(NOTHING[action] ?? {})
}

function received(Messages: readonly Message[]): RawAnswer {
  return json(Messages.length === 0 ? {} : { Messages })
}

function json(answer: object): RawAnswer {
  const headers = { 'content-type': 'application/x-amz-json-1.0' }
  return { status: 200, headers, body: Buffer.from(JSON.stringify(answer)) }
}

function read(request: IncomingMessage, raw: Buffer): { protocol: AwsProtocol; action: string; body: Json } {
  const target = String(request.headers['x-amz-target'] ?? '')
  if (target === '') {
    const form = new URLSearchParams(raw.toString())
    return { protocol: 'sqs-query', action: form.get('Action') ?? '', body: Object.fromEntries(form) }
  }
  const protocol = target.startsWith('AmazonSQS') ? 'sqs-json' : 'dynamodb'
  return { protocol, action: target.split('.').at(-1) ?? '', body: parse(raw) ?? {} }
}

function parse(raw: Buffer): Json | undefined {
  try {
    const value: unknown = JSON.parse(raw.toString())
    return typeof value === 'object' && value !== null ? (value as Json) : undefined
  } catch {
    return undefined
  }
}
