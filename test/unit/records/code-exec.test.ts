import { describe, expect, test } from 'vitest'
import { toPlain } from '../../../src/core/json.ts'
import {
  codeExecKey,
  finishedItem,
  isFinal,
  queuedItem,
  roomForArtifacts,
  runningItem,
  type CodeExecOutcome,
  type PrintedOutput,
} from '../../../src/records/code-exec.ts'
import { assertStorable, itemBytes } from '../../../src/stores/dynamodb/item-checks.ts'
import type { Item } from '../../../src/stores/store.ts'

const RUN = {
  id: 'a',
  token: 't',
  attempt: 2,
  queueMs: 1.4,
  prepareMs: 2.6,
  createdAt: '2026-01-01T00:00:00.000Z',
  startedAt: new Date(Date.UTC(2026, 0, 2)),
  finishedAt: new Date(Date.UTC(2026, 0, 3)),
  metadata: new Map([['k', 'v']]),
}

function printed(bytes: string | Uint8Array, totalBytes?: number): PrintedOutput {
  const buffer = Buffer.from(bytes)
  return { bytes: buffer, totalBytes: totalBytes ?? buffer.length }
}

function outcome(changes: Partial<CodeExecOutcome> = {}): CodeExecOutcome {
  return {
    status: 'success',
    exitCode: 0,
    signal: null,
    oomKilled: false,
    stdout: printed(''),
    stderr: printed(''),
    wallMs: 10.2,
    cpuMs: null,
    memoryPeakBytes: null,
    limits: { pids: 1 },
    artifacts: [],
    artifactsSkipped: [],
    sandbox: { imageDigest: 'sha256:1', runtime: 'runsc', start: 'warm' },
    ...changes,
  }
}

function itemOf(changes: Partial<CodeExecOutcome>): Record<string, unknown> {
  return plain(finishedItem(RUN, outcome(changes)))
}

function plain(item: Item): Record<string, unknown> {
  return Object.fromEntries(Object.entries(item).map(([name, value]) => [name, toPlain(value)]))
}

describe('the item of a job', () => {
  test('has all fields, and null for what is unknown', () => {
    expect(itemOf({})).toEqual({
      ID: 'CodeExecs#a',
      Trial: 'Job',
      Status: 'success',
      ExitCode: 0,
      Signal: null,
      OomKilled: false,
      Stdout: '',
      StdoutBytes: 0,
      StdoutTruncated: false,
      StdoutEncoding: 'utf8',
      Stderr: '',
      StderrBytes: 0,
      StderrTruncated: false,
      StderrEncoding: 'utf8',
      Time: { QueueMs: 1, PrepareMs: 3, WallMs: 10, CpuMs: null },
      MemoryPeakBytes: null,
      Limits: { pids: 1 },
      Artifacts: [],
      ArtifactsSkipped: [],
      Sandbox: { ImageDigest: 'sha256:1', Runtime: 'runsc', Start: 'warm', Attempt: 2 },
      CreatedAt: '2026-01-01T00:00:00.000Z',
      StartedAt: '2026-01-02T00:00:00.000Z',
      FinishedAt: '2026-01-03T00:00:00.000Z',
      Metadata: { k: 'v' },
      Token: 't',
      IgnoreStream: true,
    })
    expect(codeExecKey('x')).toEqual({ ID: 'CodeExecs#x', Trial: 'Job' })
  })

  test('is final only at its end', () => {
    expect(isFinal(finishedItem(RUN, outcome()))).toBe(true)
    expect(isFinal(queuedItem('a', new Date()))).toBe(false)
    expect(isFinal(runningItem(RUN, new Date()))).toBe(false)
    expect(isFinal({ ...codeExecKey('a') })).toBe(false)
  })

  test.each<[string, PrintedOutput, string, string, boolean]>([
    ['text', printed('é\0'), 'é\0', 'utf8', false],
    ['a byte order mark', printed('\ufeffx'), '\ufeffx', 'utf8', false],
    ['no text', printed(Buffer.from([0xff, 0xfe])), '//4=', 'base64', false],
    ['text that was cut', printed('abc', 10), 'abc', 'utf8', true],
    [
      'text that was cut within a character',
      printed(Buffer.from('abé').subarray(0, 3), 10),
      'ab',
      'utf8',
      true,
    ],
    ['text that was cut within an emoji', printed(Buffer.from('a😀').subarray(0, 4), 10), 'a', 'utf8', true],
    [
      'half a character that was not cut',
      printed(Buffer.from('abé').subarray(0, 3)),
      'YWLD',
      'base64',
      false,
    ],
    ['no text, cut', printed(Buffer.from([0xff, 0xc3]), 10), '/8M=', 'base64', true],
    ['nothing of much', printed('', 10), '', 'utf8', true],
  ])('keeps %s', (_, stdout, text, encoding, isTruncated) => {
    expect(itemOf({ stdout })).toMatchObject({
      Stdout: text,
      StdoutEncoding: encoding,
      StdoutTruncated: isTruncated,
      StdoutBytes: stdout.totalBytes,
    })
  })

  test.each<[string, PrintedOutput, PrintedOutput, number, number]>([
    ['one that is too long', printed('x'.repeat(400_000)), printed(''), 300_000, 0],
    ['two that are too long', printed('x'.repeat(400_000)), printed('y'.repeat(400_000)), 150_000, 150_000],
    ['one that leaves room', printed('x'.repeat(1000)), printed('y'.repeat(400_000)), 1000, 299_000],
    ['long characters', printed('é'.repeat(200_000)), printed(''), 150_000, 0],
    ['bytes', printed(Buffer.alloc(400_000, 0xff)), printed(Buffer.alloc(400_000, 0xff)), 150_000, 150_000],
  ])('holds no more than 300 KB of %s', (_, stdout, stderr, out, error) => {
    const item = finishedItem(RUN, outcome({ stdout, stderr }))
    expect(plain(item)['Stdout']).toHaveLength(out)
    expect(plain(item)['Stderr']).toHaveLength(error)
    expect(plain(item)['StdoutTruncated']).toBe(stdout.bytes.length > 1000)
    assertStorable(item)
  })

  test('has room for the artifacts that it was said to have room for', () => {
    const path = 'p'.repeat(255)
    const extremes = {
      errorMessage: 'é'.repeat(5000),
      artifactsSkipped: Array.from({ length: 64 }, () => ({ path, reason: 'r'.repeat(200) })),
    }
    for (const output of [
      printed(''),
      printed('x'.repeat(100_000)),
      printed('x'.repeat(400_000)),
      printed(Buffer.alloc(400_000, 255)),
    ]) {
      const both = { stdout: output, stderr: output }
      const room = roomForArtifacts(both)
      expect(room).toBeGreaterThan(5000)
      const artifacts = Array.from({ length: 64 }, () => ({
        path,
        content: Buffer.alloc(Math.floor(room / 64), 255),
        sha256: 'f'.repeat(64),
      }))
      const metadata = new Map([['k', Array.from({ length: 7000 }, () => true)]])
      const item = finishedItem({ ...RUN, metadata }, outcome({ ...both, ...extremes, artifacts }))
      expect(itemBytes(item)).toBeLessThan(409_600)
    }
  })

  test('shows text in artifacts as text', () => {
    const artifacts = [
      { path: 'a', content: Buffer.from('é'), sha256: '00' },
      { path: 'b', content: Buffer.from([255]), sha256: '01' },
    ]
    expect(itemOf({ artifacts })['Artifacts']).toEqual([
      { Path: 'a', Bytes: 2, Sha256: '00', Url: null, Encoding: 'utf8', Content: 'é' },
      { Path: 'b', Bytes: 1, Sha256: '01', Url: null, Encoding: 'base64', Content: '/w==' },
    ])
  })
})
