import { describe, expect, test } from 'vitest'
import { JobError } from '../../../src/core/errors.ts'
import { ExactNumber } from '../../../src/core/exact-number.ts'
import { formatJson, type JsonObject } from '../../../src/core/json.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { parseResult, SchemaViolation, type ParseOptions } from '../../../src/executors/run-json.ts'
import type { RunResult } from '../../../src/executors/run-task.ts'

function run(line: string | Uint8Array | undefined, changes: Partial<RunResult> = {}): RunResult {
  return {
    verdict: 'exited',
    exitCode: 0,
    lastLine:
      line === undefined
        ? { state: 'none', bytes: new Uint8Array() }
        : { state: 'line', bytes: Buffer.from(line) },
    stderrTail: Buffer.from('Traceback\nboom\x1b[2J\n'),
    ...changes,
  }
}

/** Asks for one number, as the scorer does. */
function readScore(object: JsonObject): ExactNumber {
  const score = object.get('score')
  if (!(score instanceof ExactNumber)) throw new SchemaViolation('The key "score" is not a number.')
  return score
}

const OPTIONS: Omit<ParseOptions<ExactNumber>, 'log'> = {
  strictExit: false,
  timeoutMs: 60_000,
  maxLineBytes: 1000,
  maxTotalBytes: 5000,
  schema: readScore,
}

function parse(
  result: RunResult,
  changes: Partial<ParseOptions<ExactNumber>> = {},
): { text: string; warned: LogRecord[] } {
  const warned: LogRecord[] = []
  const log = createLogger((record) => warned.push(record))
  return { text: parseResult(result, { ...OPTIONS, log, ...changes }).text, warned }
}

function failureOf(result: RunResult, changes: Partial<ParseOptions<ExactNumber>> = {}): JobError {
  try {
    parse(result, changes)
  } catch (error) {
    if (error instanceof JobError) return error
    throw error
  }
  throw new Error('it did not fail')
}

describe('a result that fits', () => {
  test('keeps its digits', () => {
    expect(parse(run('{"score": 12345678901234567890.10, "other": [1]}'))).toEqual({
      text: '12345678901234567890.10',
      warned: [],
    })
    expect(parse(run('{"score": NaN, "error": null}')).text).toBe('NaN')
  })

  test('counts whatever the exit code, with a warning', () => {
    const { text, warned } = parse(run('{"score": 1}', { exitCode: 3 }))
    expect(text).toBe('1')
    expect(warned).toMatchObject([{ level: 'WARNING', fields: { exit_code: 3 } }])
  })

  test('does not count after exit 3 under strict_exit', () => {
    const failure = failureOf(run('{"score": 1}', { exitCode: 3 }), { strictExit: true })
    expect(failure.code).toBe('nonzero_exit')
    expect(failure.publicMessage).toBe(
      'The program exited with code 3: a result counts only with exit code 0 here',
    )
  })

  test.each([
    ['timeout', 'timeout', 'The program did not end within 60 s.'],
    ['flood', 'output_too_large', 'The program printed more than 5000 bytes.'],
    ['out_of_memory', 'out_of_memory', 'The program ran out of memory.'],
  ] as const)('does not count after %s', (verdict, code, message) => {
    for (const line of ['{"score": 1}', '{"error": "mine"}', undefined]) {
      const failure = failureOf(run(line, { verdict, exitCode: 137 }))
      expect(failure.code).toBe(code)
      expect(failure.publicMessage).toBe(message)
    }
  })
})

describe('an error that the image reports', () => {
  test.each([
    ['{"error": "no such city"}', 'no such city'],
    ['{"objective": null, "error": ""}', ''],
    ['{"error": 0}', '0'],
    ['{"error": false, "score": 1}', 'false'],
    ['{"error": NaN}', 'NaN'],
    ['{"error": {"code": 12345678901234567890, "why": ["é"]}}', '{"code":12345678901234567890,"why":["é"]}'],
  ])('%s fails with its text', (line, text) => {
    // It wins over the exit code and over what the schema says.
    for (const exitCode of [0, 3]) {
      for (const strictExit of [false, true]) {
        const failure = failureOf(run(line, { exitCode }), { strictExit })
        expect(failure.code).toBe('image_reported_error')
        expect(failure.publicMessage).toBe(text)
        expect(failure.detail).toContain(`The image reported an error: ${text}`)
        expect(failure.detail).toContain('boom')
      }
    }
  })
})

describe('no result', () => {
  test.each([
    [undefined, 'no_result', 'The program printed no result.'],
    [
      '{"score": 1',
      'invalid_result',
      'The last line of the output is not valid JSON: expected "," or "}" at character 12.',
    ],
    [
      'done',
      'invalid_result',
      'The last line of the output is not valid JSON: expected a value at character 1.',
    ],
    ['[1]', 'invalid_result', 'The last line of the output is not a JSON object.'],
    ['null', 'invalid_result', 'The last line of the output is not a JSON object.'],
    ['{"score": "1"}', 'invalid_result', 'The key "score" is not a number.'],
    ['{}', 'invalid_result', 'The key "score" is not a number.'],
  ])('%j', (line, code, message) => {
    const failure = failureOf(run(line))
    expect(failure.code).toBe(code)
    expect(failure.publicMessage).toBe(message)
    // With a bad exit code that is what it is called.
    const exited = failureOf(run(line, { exitCode: 3 }))
    expect(exited.code).toBe('nonzero_exit')
    expect(exited.publicMessage).toMatch(/^The program exited with code 3: t/)
  })

  test('bytes that are no UTF-8, and a byte order mark', () => {
    expect(failureOf(run(Uint8Array.of(0x7b, 0xff, 0x7d))).publicMessage).toBe(
      'The last line of the output is not valid UTF-8.',
    )
    expect(failureOf(run('\ufeff{"score": 1}')).code).toBe('invalid_result')
  })

  test('a line that is too long, or nested too deep for any table', () => {
    const long = run(undefined, { lastLine: { state: 'too_long', bytes: new Uint8Array() } })
    expect(failureOf(long)).toMatchObject({
      code: 'output_too_large',
      publicMessage: 'The last line of the output is longer than 1000 bytes.',
    })
    expect(failureOf(run(`{"score": ${'['.repeat(1_000_000)}`))).toMatchObject({
      code: 'unstorable_result',
      publicMessage: 'result cannot be stored: nested deeper than 1000 levels at character 1010',
    })
  })

  test('what the schema throws besides violations is no failure of the job', () => {
    const schema = (): never => {
      throw new RangeError('bug')
    }
    expect(() => parse(run('{}'), { schema })).toThrow(RangeError)
  })
})

describe('what the admin sees', () => {
  test('the sentence, exit code, last line and last lines of stderr, harmless to a terminal', () => {
    const stderrTail = Buffer.from(
      `${Array.from({ length: 100 }, (_, n) => `line ${String(n)}`).join('\n')}\x1b[2J\n`,
    )
    const { publicMessage, detail } = failureOf(run('oops\x07', { stderrTail }))
    expect(publicMessage).not.toContain('oops')
    expect(detail).toBe(
      [
        publicMessage,
        'Exit code: 0',
        'Last line of the output:\noops\\x07',
        `Last lines of stderr:\n${Array.from({ length: 50 }, (_, n) => `line ${String(n + 50)}`).join('\n')}\\x1b[2J`,
      ].join('\n\n'),
    )
  })

  test('a long last line is not shown at all: a secret in it must not be cut in half', () => {
    const failure = failureOf(run(`{${'x'.repeat(3000)}`, { stderrTail: new Uint8Array() }))
    expect(failure.detail).toBe(`${failure.publicMessage}\n\nExit code: 0`)
  })

  test('the schema gets the whole object', () => {
    expect(
      parseResult(run('{"b": [1, {"c": null}]}'), {
        ...OPTIONS,
        schema: formatJson,
        log: createLogger(() => undefined),
      }),
    ).toBe('{"b":[1,{"c":null}]}')
  })
})
