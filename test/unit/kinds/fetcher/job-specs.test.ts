import { describe, expect, it } from 'vitest'
import { commandOf } from '../../../../src/kinds/fetcher/container.ts'
import { parseFetcherMessage, splitWords } from '../../../../src/kinds/fetcher/job-specs.ts'
import { lackingFor } from '../../../../src/kinds/fetcher/services.ts'

function read(specs: unknown, id = '17') {
  return parseFetcherMessage(JSON.stringify({ id, specs }))
}

const HANDLER = { image_url: 'image:1' }

describe('parseFetcherMessage', () => {
  it('reads the least that a job is', () => {
    expect(
      read({ app: { cmd: null, env: null }, handler: { ...HANDLER, files_down: null, files_up: null } }),
    ).toEqual({
      id: '17',
      job: {
        image: 'image:1',
        entrypoint: undefined,
        command: undefined,
        environment: {},
        inputs: [],
        outputs: [],
        hardware: {},
      },
    })
  })

  it('reads all that a job may say', () => {
    const found = read({
      app: { cmd: ['a b', ''], env: { A: 'x', N: 1 } },
      handler: {
        ...HANDLER,
        entrypoint: `/run "a b" 'c'`,
        files_down: { './a//b/c.txt': 's3://b//k' },
        files_up: { output: 'out/', log: '.', artifact: 'x/y' },
      },
      hardware: { cpu_cores: 2, memory: null, gpu_model: 'M', gpu_mem: 5 },
    })
    expect(found).toMatchObject({
      job: {
        entrypoint: ['/run', 'a b', 'c'],
        command: ['a b', ''],
        environment: { A: 'x', N: '1' },
        inputs: [{ path: 'a/b/c.txt', fileId: 's3://b//k' }],
        outputs: [
          { type: 'output', folder: 'out' },
          { type: 'log', folder: '' },
          { type: 'artifact', folder: 'x/y' },
        ],
        hardware: { cpuCores: 2, gpuModel: 'M', gpuMemoryMib: 5 },
      },
    })
  })

  it.each([
    [null, 'the job is missing'],
    [{ handler: {} }, 'image_url is missing'],
    [{ handler: { ...HANDLER, files_down: { '../a': 'x' } } }, '"../a"'],
    [{ handler: { ...HANDLER, files_down: { 'a/../../b': 'x' } } }, '..'],
    [{ handler: { ...HANDLER, files_down: { '/etc/passwd': 'x' } } }, 'it is absolute'],
    [{ handler: { ...HANDLER, files_down: { 'a\nb': 'x' } } }, 'control characters'],
    [{ handler: { ...HANDLER, files_down: { '': 'x' } } }, 'it is empty'],
    [{ handler: { ...HANDLER, files_down: { a: 5 } } }, 'no file id'],
    [{ handler: { ...HANDLER, files_up: { output: '/files/output' } } }, 'it is absolute'],
    [{ handler: { ...HANDLER, files_up: { results: 'a' } } }, '"results"'],
    [{ handler: HANDLER, app: { cmd: [1] } }, 'app.cmd must be a list of words'],
    [{ handler: HANDLER, app: { env: { A: {} } } }, '"A"'],
  ])('says what is wrong with %j', (specs, text) => {
    const found = read(specs)
    expect('problem' in found ? found.problem : '').toContain(text)
  })

  it.each(['..', '.', '', 'a/b', '-rf', 'a b', 'ü', 'a'.repeat(200)])('takes no folder name of %j', (id) => {
    expect(read({ handler: HANDLER }, id)).toHaveProperty('problem')
  })
})

describe('splitWords', () => {
  it.each([
    ['', []],
    ['  a  b ', ['a', 'b']],
    [`sh -c 'exit 9'`, ['sh', '-c', 'exit 9']],
    [`a"b c"d\\ e`, ['ab cd e']],
    [`"" ''`, ['', '']],
  ])('splits %j', (text, words) => {
    expect(splitWords(text)).toEqual(words)
  })
})

describe('commandOf', () => {
  const bare = {}
  const own = { entrypoint: ['/run'] }
  it.each([
    [['a', 'b c'], undefined, bare, ['a', 'b c']],
    [['a; b'], undefined, bare, ['/bin/sh', '-c', 'a; b']],
    [['program'], undefined, bare, ['program']],
    [['a; b'], undefined, own, ['a; b']],
    [['a; b'], ['x'], bare, ['a; b']],
    [undefined, undefined, bare, undefined],
  ])('of %j with entrypoint %j', (command, entrypoint, image, expected) => {
    expect(commandOf({ command, entrypoint }, image)).toEqual(expected)
  })
})

describe('lackingFor', () => {
  const place = { offer: { cpuCores: 2, memoryMib: 100, gpuMemoryMib: 10 }, gpus: ['GPU-1'] }
  it('says what a place has too little of', () => {
    expect(
      lackingFor({ cpuCores: 2, memoryMib: 100, gpuMemoryMib: 10, gpuModel: 'M' }, place),
    ).toBeUndefined()
    expect(lackingFor({ cpuCores: 3, memoryMib: 101, gpuMemoryMib: 11 }, place)).toBe(
      '3 CPU cores (there are 2), 101 MiB of memory (there are 100), 11 MiB of GPU memory (there are 10)',
    )
    expect(lackingFor({ gpuModel: 'M' }, { ...place, gpus: [] })).toBe('a GPU (there is none)')
  })
})
