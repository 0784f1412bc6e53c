import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { toYaml } from '../support/aws-settings.ts'
import { tinyTokenizer } from '../support/models/tiny-tokenizer.ts'
import { startTokenModel } from '../support/models/token-model.ts'
import { Workplace } from '../support/run-bin.ts'

/** An engine is never asked where a server that runs already answers. */
const NO_ENGINE = 'unix:///nonexistent/docker.sock'

let place: Workplace
let server: Server
/** Credentials of each call. */
let seen: (string | undefined)[] = []

beforeEach(async () => {
  seen = []
  server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      response.setHeader('content-type', 'application/json')
      if (request.method === 'GET') {
        response.end('{"object": "list", "data": [{"id": "its-model"}]}')
        return
      }
      seen.push(request.headers.authorization)
      const { prompt, model } = JSON.parse(Buffer.concat(parts).toString()) as Record<string, string>
      response.end(
        JSON.stringify({
          choices: [{ index: 0, text: `${prompt ?? ''} ${model ?? ''}`, finish_reason: 'stop' }],
        }),
      )
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  place = await Workplace.create(
    toYaml({
      docker: { host: NO_ENGINE },
      ...{ interval: 0.1, wait_time: 1 },
      inference: { url, api_key: 'env:MODEL_KEY' },
    }),
  )
})
afterEach(async () => {
  await place[Symbol.asyncDispose]()
  server.closeAllConnections()
  server.close()
})

async function call(...args: string[]): Promise<{ code: number | string; out: string }> {
  const run = place.start(args, { MODEL_KEY: 'sesame' })
  const code = await run.ended
  return { code, out: run.stdout() }
}

test('a server that runs already answers a call, with no engine at all', async () => {
  expect(await call('inference', '--prompt', 'def')).toEqual({ code: 0, out: 'def its-model\n' })
  expect(seen).toEqual(['Bearer sesame'])
})

test('it answers the calls of a queue', async () => {
  expect(await call('submit', 'inference', '--local', '--id', 'a', '--prompt', 'x')).toMatchObject({
    code: 0,
  })
  expect(await call('inference', '--local', '--preload', '--once')).toMatchObject({ code: 0 })
  expect(await call('results', 'inference', '--local', 'a')).toEqual({ code: 0, out: 'x its-model\n' })
})

test('a Triton with a model of token ids completes a text, over gRPC and over HTTP', async () => {
  const tokenizer = tinyTokenizer() as { model: { vocab: Record<string, number> } }
  const id = (token: string): number => tokenizer.model.vocab[token] ?? -1
  await writeFile(join(place.folder, 'tokenizer.json'), JSON.stringify(tokenizer))
  const settings = { docker: { host: NO_ENGINE }, inference: { tokenizer: 'tokenizer.json' } }
  await writeFile(join(place.folder, 'config.yml'), toYaml(settings))
  // What follows `def`: ` f(x):`, and the end.
  const words = ['def', 'Ġ', 'f', '(', 'x', ')', ':']
  const next = Object.fromEntries(words.slice(1).map((word, n) => [id(words[n] ?? ''), id(word)]))
  await using model = await startTokenModel({ next })
  const at = ['inference', '--triton-host', '127.0.0.1', '--model', 'fastertransformer']
  const port = 'port' in model.grpc ? model.grpc.port : 0
  expect(await call(...at, '--triton-port', String(port), '--prompt', 'def')).toEqual({
    code: 0,
    out: ' f(x):\n',
  })
  expect((await model.seen())[0]).toMatchObject({ input_ids: { data: [id('def')] } })
  const triton = { host: '127.0.0.1', port: model.http.port, protocol: 'http' }
  const overHttp = { ...settings, inference: { ...settings.inference, model: 'fastertransformer', triton } }
  await writeFile(join(place.folder, 'config.yml'), toYaml(overHttp))
  expect(await call('inference', '--prompt', 'def')).toEqual({ code: 0, out: ' f(x):\n' })
  const gone = await call(...at, '--triton-port', '1', '--prompt', 'def')
  expect(gone).toEqual({ code: 1, out: '' })
})
