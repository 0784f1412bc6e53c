import { expect, test } from 'vitest'
import { codeExec } from '../../../../src/config/code-exec.ts'
import { DEFAULT_LIMITS, LIMIT_NAMES } from '../../../../src/kinds/code-exec/settings.ts'

test('limits are the same in the config and in the kind', () => {
  const { limits } = codeExec.parse({})
  expect(Object.keys(limits).sort()).toEqual(Object.keys(LIMIT_NAMES).sort())
  for (const [name, key] of Object.entries(LIMIT_NAMES)) {
    expect([name, limits[name as keyof typeof limits]]).toEqual([name, DEFAULT_LIMITS[key]])
  }
})
