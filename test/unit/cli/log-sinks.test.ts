import { Chalk } from 'chalk'
import { describe, expect, test } from 'vitest'
import { createSink, humanLine, jsonLine } from '../../../src/cli/log-sinks.ts'
import type { LogFields, LogRecord } from '../../../src/core/log.ts'

const plain = new Chalk({ level: 0 })

function record(fields: LogFields, msg = 'Message'): LogRecord {
  return { ts: '2026-11-20T09:30:00.123Z', level: 'INFO', msg, fields }
}

describe('JSON lines', () => {
  test('begin with the stable keys', () => {
    expect(jsonLine(record({ kind: 'evaluator', ms: 1.5, phases: { run: 3 } }))).toBe(
      '{"ts":"2026-11-20T09:30:00.123Z","level":"INFO","msg":"Message","kind":"evaluator","ms":1.5,"phases":{"run":3}}',
    )
  })

  test('keep their own keys, whatever the fields are called', () => {
    expect(JSON.parse(jsonLine(record({ msg: 'forged', level: 'DEBUG', ts: 0 })))).toMatchObject({
      msg: 'Message',
      level: 'INFO',
      ts: '2026-11-20T09:30:00.123Z',
    })
  })

  test('hold anything on one line', () => {
    const cycle: Record<string, unknown> = {}
    cycle['self'] = cycle
    const line = jsonLine(
      record({
        error: new Error('a\nb'),
        big: 10n,
        cycle,
        fn: () => 1,
        none: undefined,
        nan: NaN,
        nested: [new Error('c')],
      }),
    )
    expect(line).not.toContain('\n')
    const parsed = JSON.parse(line) as Record<string, unknown>
    expect(parsed).toMatchObject({
      error: 'a\nb',
      big: '10',
      cycle: '[object Object]',
      nan: null,
      nested: ['c'],
    })
    expect(parsed).not.toHaveProperty('none')
  })
})

describe('lines for people', () => {
  test('have a time, a level, the message and its fields', () => {
    const line = humanLine(
      record({ kind: 'scorer', job: 'Team#1', note: 'two words', ms: 3, gone: undefined }),
      plain,
    )
    expect(line).toMatch(/^\d\d:\d\d:\d\d INFO {5}Message kind=scorer job=Team#1 note="two words" ms=3$/)
  })

  test('can be forged by nobody', () => {
    const line = humanLine(
      record({ note: 'x\n12:00:00 INFO Done\u001b[2J\u202e', 'k\ney': '1' }, 'm\ns\tg'),
      plain,
    )
    expect(line).not.toMatch(/[\n\t\u001b\u202e]/)
  })

  test('are coloured by level', () => {
    const colors = new Chalk({ level: 1 })
    for (const level of ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const) {
      expect(humanLine({ ...record({}), level }, colors)).toContain('\u001b[')
    }
  })
})

test('a sink never throws', () => {
  const sink = createSink(() => {
    throw new Error('gone')
  }, jsonLine)
  expect(() => {
    sink(record({}))
  }).not.toThrow()
})
