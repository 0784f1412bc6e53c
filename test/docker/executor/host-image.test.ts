import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OperatorError } from '../../../src/core/errors.ts'
import { importHostNodeImage } from '../../../src/executors/docker/images/host-image.ts'
import { importImage } from '../../../src/executors/docker/images/import-image.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildPythonImage, hasPython } from '../../support/images.ts'
import { setUp, text, type Bench } from './harness.ts'

const engine = await requireEngine()
const python = await hasPython()
const TAG = `opthub-runner-test/host-image-${crypto.randomUUID()}:1`

describe.skipIf(engine === undefined || process.platform !== 'linux')('images without a registry', () => {
  let bench: Bench

  beforeAll(() => {
    if (engine !== undefined) bench = setUp(engine, TAG)
  })
  afterAll(async () => {
    await engine?.json('DELETE', `/images/${encodeURIComponent(TAG)}`, { query: { force: '1' } })
    await bench.close()
  })

  async function says(input = ''): Promise<string> {
    const { name, kind, image, environment, limits, keep } = bench.spec('')
    const spec = { name, kind, image, environment, limits, keep }
    const task = await bench.executor.start(spec, new AbortController().signal)
    let out = ''
    const reading = (async () => {
      for await (const { data } of task.output()) out += text(data)
    })()
    await task.send(Buffer.from(input))
    await Promise.all([task.wait(), reading])
    await task[Symbol.asyncDispose]()
    return out
  }

  it("run this machine's Node, are made once per content, and leave no older one behind", async () => {
    if (engine === undefined) return
    const make = (main: string): Promise<{ id: string; made: boolean }> =>
      importHostNodeImage(engine, {
        tag: TAG,
        files: { '/app/main.js': main, '/app/lib/part.js': 'exports.part = 1 + 1' },
        command: ['/usr/bin/node', '/app/main.js', 'an "argument"'],
        environment: { GREETING: 'a "b" $HOME\\n' },
        nodePath: process.execPath,
      })
    const main = `
      const { part } = require('./lib/part.js')
      require('fs').writeFileSync('/tmp/x', '')
      console.log(JSON.stringify([process.version, part, process.argv[2], process.env.GREETING, require('fs').readFileSync(0, 'utf8')]))`
    const first = await make(main)
    expect(first.made).toBe(true)
    expect(JSON.parse(await says('in'))).toEqual([
      process.version,
      2,
      'an "argument"',
      'a "b" $HOME\\n',
      'in',
    ])
    expect(await make(main)).toEqual({ id: first.id, made: false })
    const second = await make('console.log("second")')
    expect(second.made).toBe(true)
    expect(await says()).toBe('second\n')
    await expect(engine.json('GET', `/images/${first.id}/json`)).rejects.toThrow(/no such image/i)
  })

  it("say what can't be taken along", async () => {
    if (engine === undefined) return
    const request = { tag: TAG, files: {}, command: [], nodePath: '/bin/true' }
    await expect(importHostNodeImage(engine, request)).rejects.toThrow(OperatorError)
    const entries = [{ path: '/x', type: 'file', from: '/nope' }] as const
    await expect(importImage(engine, { tag: TAG, entries, command: [] })).rejects.toThrow('ENOENT')
  })

  it.skipIf(!python)("run this machine's Python", async () => {
    if (engine === undefined) return
    await buildPythonImage(
      engine,
      TAG,
      'import sys, json, math, hashlib; print(json.dumps([math.pi, sys.stdin.read()]), end="")',
    )
    expect(await says('in')).toBe('[3.141592653589793, "in"]')
  })
})
