import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MODEL } from '../docker/inference/models.ts'
import { requireEngine } from '../support/engine.ts'
import { buildPythonImage, hasPython } from '../support/images.ts'
import { InferencePlace, textOf } from '../support/inference-place.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())
const TAG = 'opthub-runner-test/e2e-inference-faults:1'
const PINNED = 'opthub-runner-test/e2e-inference-pinned:1'
const COMMAND = ['python3', '-u', '/app/main.py']
const OTHERS = 'opthub-runner-test/e2e-inference-others:1'
/** Loads for a while and dies, saying when; or works with files. */
const PROGRAM = `
import json, sys, time
if sys.argv[1] == "dies":
    time.sleep(2)
    print("out of weights", file=sys.stderr, flush=True)
    print(json.dumps({"died": time.time()}), file=sys.stderr, flush=True)
    sys.exit(4)
json.loads(sys.stdin.readline())
text = open("/files/in/a.txt").read()
open("/files/b.txt", "w").write(text.upper())
print(json.dumps({"choices": [{"text": text}]}))
`
const BROKEN =
  'import sys, time\nprint("no weights found", file=sys.stderr, flush=True)\ntime.sleep(0.2)\nsys.exit(4)\n'

describe.skipIf(!isRunnable)('inference', () => {
  beforeAll(async () => {
    if (engine === undefined) return
    await buildPythonImage(engine, TAG, MODEL)
    await buildPythonImage(engine, OTHERS, PROGRAM)
  })
  afterAll(() => engine?.close())

  async function makePinned(program: string): Promise<void> {
    if (engine !== undefined) await buildPythonImage(engine, PINNED, program)
  }

  test('receives nothing while the model of the config fails, and goes on by itself when it works', async () => {
    await makePinned(BROKEN)
    await using place = await InferencePlace.open({
      inference: { image: PINNED, mode: 'server', args: [...COMMAND, 'server'] },
    })
    const ids = ['a', 'b', 'c', 'd', 'e']
    await place.send(...ids.map((id) => ({ id, prompt: id })))
    const runner = place.runner(['--concurrency', '2', '--log-level', 'DEBUG'])
    const told = (text: string) => runner.records().filter((record) => record['msg'] === text)
    await expect.poll(() => told('Still broken').length, { timeout: 60_000 }).toBeGreaterThan(2)
    expect(told('Paused: nothing is received until this works again')).toHaveLength(1)
    expect(runner.stderr()).toContain('no weights found')
    expect(told('Job started').length).toBeLessThanOrEqual(2)
    await makePinned(MODEL)
    for (const id of ids) {
      const item = await place.result(id, 120_000)
      expect(item).toMatchObject({ Status: 'succeeded', Error: null })
      expect(textOf(item)).toBe(`${id}!`)
      expect(item.Runtime.Attempt).toBeLessThanOrEqual(2)
    }
    expect(await place.depth()).toEqual({ waiting: 0, inFlight: 0 })
    runner.child.kill('SIGTERM')
    expect(await runner.ended).toBe(0)
  })

  test('keeps its message while a model loads, and tells at once when that dies', async () => {
    await using place = await InferencePlace.open({ visibility_timeout: 3, heartbeat_interval: 1 })
    const server = { args: [...COMMAND, 'server'], env: { LOADING: '10' } }
    await place.send(
      { id: 'slow', image: TAG, mode: 'server', server, prompt: 'x', timeout_s: 3 },
      { id: 'dies', image: OTHERS, mode: 'server', server: { args: [...COMMAND, 'dies'] }, prompt: 'x' },
    )
    const runner = place.runner(['--concurrency', '2'])
    const dead = await place.result('dies')
    expect(dead).toMatchObject({ Status: 'failed', Error: { Type: 'setup_failed' }, Runtime: { Attempt: 1 } })
    for (const told of [dead.LogsTail, dead.Error?.Message]) expect(told).toContain('out of weights')
    const diedAt = Number(/"died": ([\d.]+)/.exec(dead.LogsTail)?.[1]) * 1000
    expect(Date.parse(dead.FinishedAt) - diedAt).toBeLessThan(2000)
    const slow = await place.result('slow')
    expect(slow).toMatchObject({ Status: 'succeeded', Runtime: { Attempt: 1, Warm: false } })
    expect(slow.Metrics.ColdStartMs).toBeGreaterThan(9000)
    const started = runner.records().filter(({ msg }) => msg === 'Job started')
    expect(started).toHaveLength(2)
    expect(await place.depth()).toEqual({ waiting: 0, inFlight: 0 })
    runner.child.kill('SIGTERM')
    expect(await runner.ended).toBe(0)
  })

  test('says what is wrong with each message, and answers the next one', async () => {
    const seen = new Map<string, string>()
    await using server = await serve((request, response) => {
      if (request.method === 'GET' && request.url === '/a.txt') response.end('small')
      else if (request.method === 'PUT') {
        void text(request).then((body) => {
          seen.set(request.url ?? '', body)
          response.end()
        })
      } else response.writeHead(404).end()
    })
    await using place = await InferencePlace.open({ files_root: tmpdir() })
    const { bucket } = place.clients.info
    const args = (...words: string[]) => ({ server: { args: [...COMMAND, ...words] } })
    const base = { image: TAG, ...args('oneshot') }
    const wrong: [object, string][] = [
      [{ prompt: 'x', promt: 1, tmp: 2 }, 'unknown keys promt, tmp'],
      [{ prompt: 'x', body: {} }, 'body and prompt exclude each other'],
      [{}, 'no input is given'],
      [{ prompt: 'half \ud800' }, 'prompt holds broken Unicode'],
      [{ prompt: ['x'] }, 'prompt must be text'],
      [{ prompt: 'x', timeout_s: 'soon' }, 'timeout_s must be'],
      [{ prompt: 'x', resources: { gpus: 'all' } }, 'resources.gpus must be'],
      [{ prompt: 'x', metadata: [] }, 'metadata must be'],
      [{ input_location: `s3://${bucket}/none.json` }, `s3://${bucket}/none.json`],
      [{ input_location: `file://${tmpdir()}/none.json` }, `${tmpdir()}/none.json`],
      [{ input_location: `${server.url}/none.json` }, `${server.url}/none.json`],
      [{ prompt: 'x', inputs: [{ path: 'a', url: `${server.url}/none` }] }, `${server.url}/none`],
    ]
    await place.send(...wrong.map(([fields], n) => ({ id: `wrong-${n}`, ...base, ...fields })))
    await place.send('not json', '{"prompt": "x"}')
    await place.send({ id: 'big', ...base, body: { prompt: 'big', ballast: 'x'.repeat(1_000_000) } })
    await place.send({ id: 'words', ...base, prompt: '日本語 \u2028 👩‍💻' })
    await place.send({
      ...{ id: 'files', image: OTHERS, ...args('files'), prompt: 'x' },
      inputs: [{ path: 'in/a.txt', url: `${server.url}/a.txt` }],
      outputs: [{ path: 'b.txt', url: `${server.url}/out` }],
    })
    await place.send({ id: 'right', ...base, prompt: 'right' })
    const runner = place.runner(['--concurrency', '2'])
    expect(await place.result('right')).toMatchObject({ Status: 'succeeded' })
    for (const [n, [, why]] of wrong.entries()) {
      const item = await place.result(`wrong-${n}`)
      expect(item).toMatchObject({ Status: 'failed', Error: { Type: 'validation' }, Runtime: { Attempt: 1 } })
      expect(item.Error?.Message).toContain(why)
    }
    expect(textOf(await place.result('big'))).toBe('big!')
    expect(textOf(await place.result('words'))).toBe('日本語 \u2028 👩‍💻!')
    expect(await place.result('files')).toMatchObject({ Status: 'succeeded', Error: null })
    expect(seen).toEqual(new Map([['/out', 'SMALL']]))
    // Those without an id are left to the dead-letter queue.
    const unread = runner.records().filter(({ msg }) => String(msg).startsWith('Unreadable message'))
    expect(unread.length).toBeGreaterThanOrEqual(2)
    runner.child.kill('SIGTERM')
    expect(await runner.ended).toBe(0)
  })
})

async function serve(listener: RequestListener): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
