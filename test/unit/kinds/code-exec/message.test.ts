import { describe, expect, test } from 'vitest'
import { PoisonError } from '../../../../src/core/errors.ts'
import { formatJson } from '../../../../src/core/json.ts'
import { parseCodeExecMessage, type CodeExecRequest } from '../../../../src/kinds/code-exec/message.ts'

function parse(fields: object): ReturnType<typeof parseCodeExecMessage> {
  return parseCodeExecMessage(JSON.stringify({ id: 'run-42', language: 'python', code: '', ...fields }))
}

function requestOf(fields: object): CodeExecRequest {
  const message = parse(fields)
  if ('problem' in message) throw new Error(message.problem)
  return message.request
}

function problemOf(fields: object): string {
  const message = parse(fields)
  return 'problem' in message ? message.problem : 'none'
}

describe('a message', () => {
  test('that is complete is read as it is', () => {
    const request = requestOf({
      code: "print('é')",
      files: [
        { path: 'data.csv', content: 'é' },
        { path: 'in/raw', content: 'AP8=', encoding: 'base64' },
      ],
      stdin: 'in',
      args: ['a', ''],
      env: { K: 'V', __proto__x: '' },
      inputs: [],
      outputs: [],
      artifacts: ['out/**'],
      allow_internet: true,
      limits: { wall_time_ms: 1, cpus: 0.5 },
      resources: { gpus: 1 },
      deadline: '2026-01-31T12:00:00+09:00',
      metadata: { n: 1 },
    })
    expect(request).toMatchObject({
      id: 'run-42',
      program: { language: 'python' },
      code: "print('é')",
      stdin: 'in',
      args: ['a', ''],
      env: { K: 'V', __proto__x: '' },
      artifacts: ['out/**'],
      allowInternet: true,
      limits: { wallTimeMs: 1, cpus: 0.5 },
      gpus: 1,
      deadline: new Date('2026-01-31T03:00:00Z'),
    })
    expect(request.files.map(({ path, content }) => [path, Buffer.from(content).toString('hex')])).toEqual([
      ['data.csv', 'c3a9'],
      ['in/raw', '00ff'],
    ])
    expect(formatJson(request.metadata)).toBe('{"n":1}')
  })

  test('with nothing but its program has empty rest', () => {
    expect(requestOf({})).toMatchObject({
      files: [],
      stdin: '',
      args: [],
      env: {},
      artifacts: [],
      limits: {},
      gpus: 0,
    })
    expect(requestOf({ language: undefined, code: undefined, image: 'i:1', command: ['c'] })).toMatchObject({
      program: { image: 'i:1', command: ['c'] },
      code: '',
    })
  })

  test.each([
    'no JSON',
    '[]',
    '{}',
    '{"id": 1}',
    '{"id": ""}',
    '{"id": "a b"}',
    '{"id": "a/b"}',
    `{"id": "${'x'.repeat(129)}"}`,
    '{"id": "é"}',
  ])('without a readable id is poison: %s', (body) => {
    expect(() => parseCodeExecMessage(body)).toThrow(PoisonError)
  })

  test.each<[object, RegExp]>([
    [{ colour: 1, 'a\nb': 2 }, /^unknown keys colour, "a\\nb"; there are id, language/],
    [{ language: undefined }, /^name either language, or image and command$/],
    [{ image: 'i' }, /^name either/],
    [{ language: undefined, image: 'i' }, /^command is missing/],
    [{ language: undefined, command: ['c'] }, /^image is missing/],
    [{ language: undefined, image: 'i', command: [] }, /at least one word/],
    [{ language: undefined, image: 'i', command: ['a\0'] }, /NUL/],
    [{ language: 'p y' }, /^language must be/],
    [{ code: undefined }, /^code is missing/],
    [{ code: 1 }, /^code must be text$/],
    [{ code: '\ud800' }, /^code holds broken Unicode$/],
    [{ stdin: null, args: 'x' }, /^args must be a list$/],
    [{ args: [1] }, /^args\[0\] must be text$/],
    [{ args: ['\0'] }, /NUL/],
    [{ args: ['x'.repeat(70_000)] }, /longer than 65536 bytes/],
    [{ args: Array.from({ length: 257 }, () => '') }, /more than 256/],
    [{ env: { 'a-b': '' } }, /^env\."?a-b"? is no name/],
    [{ env: { '': '' } }, /is no name/],
    [{ env: { LD_PRELOAD: 'x' } }, /^env\.LD_PRELOAD is not allowed/],
    [{ env: { NVIDIA_VISIBLE_DEVICES: 'all' } }, /not allowed/],
    [{ env: { A: 1 } }, /^env\.A must be text$/],
    [{ files: [{ path: 'a' }] }, /^files\[0\]\.content is missing$/],
    [{ files: [{ content: 'a' }] }, /^files\[0\]\.path is missing$/],
    [{ files: ['a'] }, /must be an object/],
    [{ files: [{ path: 'a', content: '', mode: 7 }] }, /^unknown key files\[0\]\.mode/],
    [{ files: [{ path: 'a', content: '', encoding: 'hex' }] }, /utf8 or base64/],
    [{ files: [{ path: 'a', content: 'A', encoding: 'base64' }] }, /^files\[0\]\.content is not base64$/],
    [{ files: [{ path: 'a', content: '#', encoding: 'base64' }] }, /is not base64$/],
    ...['/etc/passwd', '../x', 'a/../b', 'a//b', './a', 'a/', '', 'a\0b', 'x'.repeat(256)].map(
      (path): [object, RegExp] => [
        { files: [{ path, content: '' }] },
        /^files\[0\]\.path must be a relative path/,
      ],
    ),
    [
      {
        files: [
          { path: 'a', content: '' },
          { path: 'a', content: '' },
        ],
      },
      /^two files go to a$/,
    ],
    [
      {
        files: [
          { path: 'a', content: '' },
          { path: 'a/b', content: '' },
        ],
      },
      /can not be a file and the folder/,
    ],
    [{ artifacts: ['../x'] }, /^artifacts must be a relative path/],
    [{ inputs: [{}] }, /^inputs\[0\]\.path is missing/],
    [{ inputs: [{ path: '../x', url: 's3://b/k' }] }, /^inputs\[0\]\.path must be a relative path/],
    [{ inputs: [{ path: 'x', url: 's3://b/k', sha256: 'z' }] }, /^inputs\[0\]\.sha256 must be 64/],
    [{ inputs: [{ path: 'x', url: 's3://b/k', content: '' }] }, /^unknown key inputs\[0\]\.content/],
    [
      {
        inputs: [
          { path: 'x', url: 's3://b/k' },
          { path: 'x/y', url: 's3://b/k' },
        ],
      },
      /^x can not be a file and the folder of x\/y/,
    ],
    [{ outputs: [{}] }, /^outputs\[0\]\.path is missing/],
    [{ outputs: [{ path: '/etc', url: 's3://b/k' }] }, /^outputs\[0\]\.path must be a relative path/],
    [{ outputs: [{ path: 'x', url: 's3://b/k', type: 'é' }] }, /^outputs\[0\]\.type is no media type/],
    [
      { outputs: Array.from({ length: 17 }, (_, n) => ({ path: `o${n}`, url: 's3://b/k' })) },
      /^outputs holds more than 16/,
    ],
    [{ allow_internet: 'yes' }, /true or false/],
    [{ limits: { memory: 1 } }, /^unknown key limits\.memory/],
    [{ limits: { pids: 0 } }, /^limits\.pids must be a whole number above 0$/],
    [{ limits: { pids: 1.5 } }, /whole number/],
    [{ limits: { cpus: 0 } }, /^limits\.cpus must be a number above 0$/],
    [{ limits: { wall_time_ms: '1' } }, /whole number/],
    [{ resources: { gpus: -1 } }, /whole number from 0/],
    [{ resources: { tpus: 1 } }, /^unknown key resources\.tpus/],
    [{ deadline: 'tomorrow' }, /must be a time such as/],
    [{ deadline: '2026-13-01T00:00:00Z' }, /must be a time/],
    [{ deadline: 5 }, /must be a time/],
    [{ metadata: [] }, /^metadata must be an object$/],
    [{ metadata: { '': 1 } }, /empty key/],
    [{ metadata: { a: 'x'.repeat(20_000) } }, /longer than 16384 bytes/],
  ])('that is wrong otherwise is a job with a problem: %j', (fields, problem) => {
    expect(problemOf(fields)).toMatch(problem)
    expect(problemOf(fields)).not.toContain('\n')
  })

  test('is no deeper than the table', () => {
    const metadata = JSON.parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`) as object
    expect(problemOf({ metadata })).toMatch(/nested deeper/)
  })

  test('keeps the digits of its metadata', () => {
    const message = parseCodeExecMessage(
      '{"id": "a", "language": "c", "code": "", "metadata": {"x": 1.10, "y": NaN}}',
    )
    expect('request' in message && formatJson(message.request.metadata)).toBe('{"x":1.10,"y":null}')
  })
})
