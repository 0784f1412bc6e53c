import { request as httpRequest, type OutgoingHttpHeaders } from 'node:http'
import { networkInterfaces } from 'node:os'
import { connect } from 'node:net'
import { once } from 'node:events'
import { ListTablesCommand } from '@aws-sdk/client-dynamodb'
import { ListQueuesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { describe, expect, test } from 'vitest'
import type { EmbeddedInfo } from '../../../src/embedded/index.ts'
import { clients, failureOf, open, signed } from './support.ts'

interface Answer {
  status: number | undefined
  headers: Record<string, unknown>
  body: string
}

async function ask(
  info: EmbeddedInfo,
  options: { method?: string; path?: string; headers?: OutgoingHttpHeaders; body?: string | Buffer },
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const { method = 'POST', path = '/', headers = {}, body } = options
    const request = httpRequest(info.endpoints.sqs, { method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

const listQueues = (sqs: SQSClient): Promise<unknown> => sqs.send(new ListQueuesCommand({}))
const sqsHeaders = { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'AmazonSQS.ListQueues' }

describe('the door', () => {
  test('opens for the right keys', async () => {
    const { embedded } = await open()
    const { sqs, dynamodb } = clients(embedded.info)
    expect((await sqs.send(new ListQueuesCommand({}))).QueueUrls).toHaveLength(8)
    expect((await dynamodb.send(new ListTablesCommand({}))).TableNames).toEqual(['opthub', 'opthub-leases'])
  })

  test('refuses other keys in the words of each service', async () => {
    const { embedded } = await open()
    const stranger = clients(embedded.info, { accessKeyId: 'AKIAIOSFODNN7EXAMPLE' })
    const forger = clients(embedded.info, { secretAccessKey: 'x'.repeat(40) })
    expect(await failureOf(stranger.sqs.send(new ListQueuesCommand({})))).toMatchObject({
      name: 'InvalidClientTokenId',
      status: 403,
    })
    expect(await failureOf(forger.sqs.send(new ListQueuesCommand({})))).toMatchObject({
      name: 'SignatureDoesNotMatch',
      status: 403,
    })
    expect(await failureOf(stranger.dynamodb.send(new ListTablesCommand({})))).toMatchObject({
      name: 'UnrecognizedClientException',
      status: 400,
    })
    expect(await failureOf(forger.dynamodb.send(new ListTablesCommand({})))).toMatchObject({
      name: 'InvalidSignatureException',
      status: 400,
    })
  })

  test('has other keys for each data directory', async () => {
    const [first, second] = [await open(), await open()]
    expect(first.embedded.info.accessKeyId).not.toBe(second.embedded.info.accessKeyId)
    expect(first.embedded.info.secretAccessKey).not.toBe(second.embedded.info.secretAccessKey)
    const { accessKeyId, secretAccessKey } = first.embedded.info
    const { sqs } = clients(second.embedded.info, { accessKeyId, secretAccessKey })
    expect(await failureOf(sqs.send(new ListQueuesCommand({})))).toMatchObject({
      name: 'InvalidClientTokenId',
    })
  })

  test('refuses requests without signature', async () => {
    const { embedded } = await open()
    const answer = await ask(embedded.info, { headers: sqsHeaders, body: '{}' })
    expect(answer.status).toBe(403)
    expect(answer.body).toContain('MissingAuthenticationToken')
    const basic = await ask(embedded.info, {
      headers: { ...sqsHeaders, authorization: 'Basic eDp5' },
      body: '{}',
    })
    expect(basic.status).toBe(403)
    expect(basic.body).toContain('IncompleteSignature')
  })

  test('refuses a signed request whose body, target or path was changed', async () => {
    const { embedded } = await open()
    const request = await signed(embedded.info, listQueues)
    const good = await ask(embedded.info, request)
    expect(good.status).toBe(200)
    for (const change of [
      { body: '{"QueueNamePrefix":"x"}' },
      { path: '/other' },
      { path: '/?a=b' },
      { headers: { ...request.headers, 'x-amz-target': 'AmazonSQS.DeleteQueue' } },
      { headers: { ...request.headers, 'x-amz-date': '20200101T000000Z' } },
    ]) {
      const answer = await ask(embedded.info, { ...request, ...change })
      expect(answer.status).toBe(403)
      expect(answer.headers['x-amzn-query-error']).toBe('SignatureDoesNotMatch;Sender')
    }
  })

  test.each([
    ['an Origin, even its own', (port: string) => ({ origin: `http://127.0.0.1:${port}` })],
    ['an Origin that is null', () => ({ origin: 'null' })],
    ['a foreign Host', () => ({ host: 'evil.example' })],
    ['a foreign Host with its port', (port: string) => ({ host: `evil.example:${port}` })],
    ['a Host without port', () => ({ host: '127.0.0.1' })],
  ])('refuses requests with %s', async (_what, headersOf) => {
    const { embedded } = await open()
    const port = new URL(embedded.info.endpoints.sqs).port
    const request = await signed(embedded.info, listQueues)
    const answer = await ask(embedded.info, {
      ...request,
      headers: { ...request.headers, ...headersOf(port) },
    })
    expect(answer.status).toBe(403)
    expect(answer.body).toContain('AccessDenied')
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
    const preflight = await ask(embedded.info, { method: 'OPTIONS', headers: headersOf(port) })
    expect(preflight.status).toBe(403)
  })

  test('answers nothing but POST, and only known actions', async () => {
    const { embedded } = await open()
    expect((await ask(embedded.info, { method: 'GET' })).status).toBe(405)
    const request = await signed(embedded.info, listQueues, 'AmazonSQS.Nonsense')
    const answer = await ask(embedded.info, request)
    expect(answer.status).toBe(400)
    expect(answer.body).toContain('UnknownOperationException')
  })

  test('stays shut to members without the secret', async () => {
    const { embedded } = await open()
    const path = '/.opthub/member'
    expect((await ask(embedded.info, { method: 'GET', path })).status).toBe(403)
    const headers = { 'x-opthub-nonce': 'a', 'x-opthub-proof': 'b'.repeat(64) }
    expect((await ask(embedded.info, { method: 'GET', path, headers })).status).toBe(403)
  })

  test('cuts bodies that are too large', async () => {
    const { embedded } = await open()
    const body = Buffer.alloc(17 * 1024 * 1024, 'x')
    const answer = await ask(embedded.info, { headers: sqsHeaders, body }).catch(() => undefined)
    expect(answer?.status ?? 413).toBe(413)
    expect((await ask(embedded.info, { method: 'GET' })).status).toBe(405)
  })

  test('survives what is no HTTP', async () => {
    const { embedded, sqs } = await open()
    const socket = connect(Number(new URL(embedded.info.endpoints.sqs).port), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write('\u0000\u0001 nonsense\r\n\r\n')
    await once(socket, 'close')
    expect((await sqs.send(new ListQueuesCommand({}))).QueueUrls).toHaveLength(8)
  })

  test('is on loopback only', async () => {
    const { embedded } = await open()
    const port = Number(new URL(embedded.info.endpoints.sqs).port)
    const others = Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).filter(({ internal, family }) => !internal && family === 'IPv4'),
    )
    for (const { address } of [...others, { address: '127.0.0.2' }]) {
      const socket = connect(port, address)
      const outcome = await new Promise((resolve) => {
        socket.once('connect', () => {
          resolve('connected')
        })
        socket.once('error', () => {
          resolve('refused')
        })
      })
      socket.destroy()
      expect([address, outcome]).toEqual([address, 'refused'])
    }
  })
})
