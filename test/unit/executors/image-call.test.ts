import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OperatorError } from '../../../src/core/errors.ts'
import { toRequest, type ImageCall } from '../../../src/executors/image-call.ts'
import type { ImageRequest } from '../../../src/executors/run-image.ts'

let folder: string

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'opthub-call-')))
  writeFileSync(join(folder, 'file'), '')
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

const request = (call: Partial<ImageCall> = {}, user?: string): Promise<ImageRequest> =>
  toRequest({ image: 'registry.example:5000/team/solver:1.0', ...call }, () => Promise.resolve(user))

async function refusal(call: Partial<ImageCall>): Promise<OperatorError> {
  const error: unknown = await request(call).catch((e: unknown) => e)
  if (!(error instanceof OperatorError)) throw new Error('it was not refused', { cause: error })
  return error
}

describe('toRequest', () => {
  it('leaves to the image what nobody says', async () => {
    const { spec, timeoutMs } = await request()
    const { name, ...rest } = spec
    expect(name).toMatch(/^exec-solver-1-0-[0-9a-f]{8}$/)
    expect(rest).toEqual({
      kind: 'exec',
      image: 'registry.example:5000/team/solver:1.0',
      environment: {},
      limits: {},
      keep: false,
    })
    expect(timeoutMs).toBe(Infinity)
  })

  it('passes on what somebody says', async () => {
    const { spec, timeoutMs, stopGraceSeconds, maxOutputBytes } = await request({
      args: ['--x', 'a b', '$HOME', ''],
      env: { A: '1' },
      workdir: '/w',
      gpus: 2,
      limits: { cpus: 0.5, network: 'none' },
      timeoutMs: 1500,
      stopGraceSeconds: 3,
      maxOutputBytes: 10,
      keep: true,
    })
    expect(spec).toMatchObject({
      command: ['--x', 'a b', '$HOME', ''],
      environment: { A: '1' },
      workdir: '/w',
      gpus: 2,
      limits: { cpus: 0.5, network: 'none' },
      keep: true,
    })
    expect([timeoutMs, stopGraceSeconds, maxOutputBytes]).toEqual([1500, 3, 10])
  })

  it('runs as the one who stands in, unless somebody else is named', async () => {
    expect((await request({}, '7:8')).spec.limits.user).toBe('7:8')
    expect((await request({ user: 'solver', limits: { cpus: 1 } }, '7:8')).spec.limits).toEqual({
      cpus: 1,
      user: 'solver',
    })
  })

  it.each([
    ['text', () => 'aé'],
    ['bytes', () => Buffer.from('aé')],
    ['a list of parts', () => ['a', Buffer.from('é')]],
    ['a stream', () => Readable.from([Buffer.from('a'), Buffer.from('é')])],
  ])('takes %s for its input', async (_, input) => {
    const { input: made } = await request({ input: input() })
    if (typeof made === 'function') throw new Error('it is to be read once')
    expect((await buffer(Readable.from(made instanceof Uint8Array ? [made] : made))).toString()).toBe('aé')
  })

  it('mounts at the same path, or where it is told', async () => {
    const { spec } = await request({
      mounts: [
        { source: relative('.', folder) },
        { source: join(folder, 'file'), target: '/in/file', readOnly: true },
      ],
    })
    expect(spec.mounts).toEqual([
      { source: folder, target: folder, readOnly: false },
      { source: join(folder, 'file'), target: '/in/file', readOnly: true },
    ])
    expect(spec.workdir).toBeUndefined()
  })

  it('works in the current folder as far as a mount holds it, the innermost first', async () => {
    const here = resolve('.')
    const above = resolve('..')
    const workdir = async (call: Partial<ImageCall>): Promise<string | undefined> =>
      (await request(call)).spec.workdir
    expect(await workdir({ mounts: [{ source: '.' }] })).toBe(here)
    expect(await workdir({ mounts: [{ source: '.', target: '/work' }] })).toBe('/work')
    const name = relative(above, here)
    expect(await workdir({ mounts: [{ source: '..', target: '/up' }] })).toBe(`/up/${name}`)
    const both = [
      { source: '..', target: '/up' },
      { source: '.', target: '/work' },
    ]
    expect(await workdir({ mounts: both })).toBe('/work')
    expect(await workdir({ mounts: both, workdir: '/own' })).toBe('/own')
    expect(await workdir({ mounts: [{ source: join(here, 'test'), target: '/t' }] })).toBeUndefined()
  })

  it.each<[string, Partial<ImageCall>, RegExp]>([
    ['no image', { image: '' }, /No image is named/],
    ['no time', { timeoutMs: 0 }, /timeoutMs must be above 0/],
    ['a time that is none', { timeoutMs: NaN }, /timeoutMs must be above 0/],
    ['no output', { maxOutputBytes: -1 }, /maxOutputBytes must be above 0/],
    [
      'a folder that is not there',
      { mounts: [{ source: '/no/such/folder' }] },
      /\/no\/such\/folder can't be mounted: ENOENT/,
    ],
    ['a relative place', { mounts: [{ source: '.', target: 'work' }] }, /can't be mounted at work/],
    ['the root', { mounts: [{ source: '.', target: '/a/..' }] }, /can't be mounted at \/a\/\.\./],
    [
      'one place twice',
      {
        mounts: [
          { source: '.', target: '/w/' },
          { source: '..', target: '/w' },
        ],
      },
      /Two mounts go to \/w/,
    ],
    ['a relative working folder', { workdir: 'w' }, /The working folder w is relative/],
  ])('refuses %s', async (_, call, text) => {
    const error = await refusal(call)
    expect(error.message).toMatch(text)
    expect(error).toMatchObject({ exitCode: 2, hint: expect.stringMatching(/./) as string })
  })
})
