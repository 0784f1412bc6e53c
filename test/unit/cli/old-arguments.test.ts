import { Command } from 'commander'
import { expect, test } from 'vitest'
import { fromOldArguments } from '../../../src/cli/old-arguments.ts'
import { define } from '../../../src/cli/commands/evaluator.ts'
import { createSession } from '../../../src/cli/io.ts'
import { FakeIo } from '../../support/fake-io.ts'

test.each([
  [['evaluator'], ['evaluator']],
  [
    ['--config', 'c.yml', 'scorer', 'python3', 'x.py'],
    ['scorer', '--config', 'c.yml', 'python3', 'x.py'],
  ],
  [
    ['-d', 'evaluator', '--num', '3'],
    ['evaluator', '-d', '--num', '3'],
  ],
  [
    ['--process-name', 'scorer', 'evaluator'],
    ['evaluator', '--process-name', 'scorer'],
  ],
  [['--help'], ['--help']],
  [[], []],
])('%j', (old, now) => {
  expect(fromOldArguments(old)).toEqual(now)
})

test('every option with a value is known', () => {
  const command = new Command()
  define(command, createSession(new FakeIo()))
  for (const { required, short, long } of command.options) {
    if (!required) continue
    for (const flag of [short, long]) {
      if (flag !== undefined) expect(fromOldArguments([flag, 'scorer', 'evaluator'])[0]).toBe('evaluator')
    }
  }
})
