import { describe, expect, it } from 'vitest'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { redact, redactLog } from '../../../src/core/redact.ts'

describe('redact', () => {
  it('hides values wherever they stand', () => {
    expect(redact('key=hunter2-x, again hunter2-x', ['hunter2-x'])).toBe('key=***, again ***')
  })

  it('leaves no rest of a value that holds another one', () => {
    expect(redact('abcdef-long and abcdef', ['abcdef', 'abcdef-long'])).toBe('*** and ***')
  })

  it('leaves short values, plain numbers and booleans alone', () => {
    expect(redact('short 1234567 -1.5e10 false True', ['short', '1234567', '-1.5e10', 'false', 'True'])).toBe(
      'short 1234567 -1.5e10 false True',
    )
  })

  it('takes values as text, not as patterns', () => {
    expect(redact('a.c(d)$1 abcXdX', ['a.c(d)$1'])).toBe('*** abcXdX')
  })

  it('hides values as JSON and Python quote them', () => {
    const secret = 'pa"ss\\wörd\'s'
    const shown = [secret, JSON.stringify(secret), '"pa\\"ss\\\\w\\u00f6rd\'s"', 'pa"ss\\\\wörd\\\'s'].join(
      ' | ',
    )
    expect(redact(shown, [secret])).toBe('*** | "***" | "***" | ***')
  })

  it('hides the lines of a value of many lines, and a value without the white space around it', () => {
    expect(redact('MIIEvQIBADAN only', ['-----BEGIN KEY-----\nMIIEvQIBADAN\n-----END KEY-----\n'])).toBe(
      '*** only',
    )
    expect(redact('token-123456', ['token-123456\n'])).toBe('***')
  })

  it('changes nothing without secrets', () => {
    expect(redact('text', [])).toBe('text')
    expect(redact('text', ['', ' '])).toBe('text')
  })
})

describe('redactLog', () => {
  it('hides values in all texts, of child loggers too', () => {
    const records: LogRecord[] = []
    const log = redactLog(
      createLogger((record) => records.push(record)),
      ['s3cret-value'],
    )
    log.child({ path: 'x s3cret-value' }).warn('Static', { change: 's3cret-value', n: 3 })
    expect(records[0]?.fields).toEqual({ path: 'x ***', change: '***', n: 3 })
  })
})
