import { expect, test } from 'vitest'
import { nearest } from '../../../src/core/nearest.ts'

const KEYS = ['interval', 'timeout', 'rm', 'num', 'max_output', 'max_total_output', 'evaluator_queue_url']

test.each([
  ['intervall', 'interval'],
  ['Timeout', 'timeout'],
  ['tiemout', 'timeout'],
  ['max-output', 'max_output'],
  ['nmu', 'num'],
  ['evaluator_queue', undefined],
  ['evalautor_que_url', 'evaluator_queue_url'],
  ['x', undefined],
  ['', undefined],
  ['database', undefined],
  ['x'.repeat(100_000), undefined],
])('%.20s is %s', (text, expected) => {
  expect(nearest(text, KEYS)).toBe(expected)
})
