import { expect, test } from 'vitest'
import { presentError } from '../../../src/cli/present.ts'
import { createSession } from '../../../src/cli/io.ts'
import { EXIT, OperatorError, RetryableError, StoppedError } from '../../../src/core/errors.ts'
import { FakeIo } from '../../support/fake-io.ts'

function present(error: unknown, options: { debug?: boolean; json?: boolean; secrets?: string[] } = {}) {
  const io = new FakeIo()
  const code = presentError(error, { ...createSession(io), ...options })
  return { code, text: io.stderr.text }
}

test('what, why, how to fix, exit code', () => {
  const { code, text } = present(
    new OperatorError('No table', 'not\nfound', 'Make one.\nOr not.', EXIT.config),
  )
  expect(code).toBe(78)
  expect(text).toBe(
    '✖ No table\n  why:  not\n        found\n  fix:  Make one.\n        Or not.\n  exit: 78\n',
  )
})

test('surroundings that fail end with 69 and say what to look at', () => {
  const { code, text } = present(new RetryableError('engine', 'connect ENOENT'))
  expect(code).toBe(69)
  expect(text).toContain('why:  connect ENOENT')
  expect(text).toContain('docker info')
})

test('a mistake of ours asks for a report, and shows its trace only under DEBUG', () => {
  const error = new TypeError('x is undefined', { cause: new Error('deeper') })
  const { code, text } = present(error)
  expect(code).toBe(1)
  expect(text).toContain('report it at https://')
  expect(text).not.toMatch(/^\s+at /m)
  const traced = present(error, { debug: true }).text
  expect(traced).toMatch(/^\s+at .*present\.test/m)
  expect(traced).toContain('caused by Error: deeper')
})

test('what is no Error is shown, too', () => {
  expect(present('just text').text).toContain('just text')
  expect(present(undefined).code).toBe(1)
})

test('a stop is no mistake', () => {
  expect(present(new StoppedError('SIGTERM')).text).not.toContain('report')
})

test('nothing that an error quotes can steer the terminal', () => {
  expect(present(new OperatorError('a\u001b[2Jb', '\u0007', '')).text).not.toMatch(/[\u001b\u0007]/)
})

test('secrets are masked, in traces too', () => {
  const options = { debug: true, secrets: ['hush-hush-hush'] }
  expect(present(new Error('it says hush-hush-hush'), options).text).not.toContain('hush')
})

test('one JSON line', () => {
  const { text } = present(new OperatorError('What', 'why', 'hint', 2), { json: true })
  expect(JSON.parse(text)).toMatchObject({
    level: 'CRITICAL',
    msg: 'What',
    why: 'why',
    hint: 'hint',
    exit_code: 2,
  })
  expect(text.trimEnd()).not.toContain('\n')
})
