import { expect, test } from 'vitest'
import { fits, isLiteral } from '../../../../src/kinds/code-exec/patterns.ts'

test.each<[pattern: string, yes: string[], no: string[]]>([
  ['a.csv', ['a.csv'], ['b.csv', 'x/a.csv', 'a.csv/x', 'a.cs', 'a.csvv']],
  ['*.csv', ['a.csv', '.csv', 'é.csv'], ['x/a.csv', 'a.csv.gz']],
  ['?.csv', ['a.csv', 'é.csv', '😀.csv'], ['ab.csv', '.csv', '/.csv']],
  ['out/**', ['out/a', 'out/a/b/c', 'out'], ['output/a', 'x/out/a']],
  ['**', ['a', 'a/b'], []],
  ['**/*.csv', ['a.csv', 'x/y/a.csv'], ['a.txt']],
  ['a/**/b', ['a/b', 'a/x/b', 'a/x/y/b', 'a/b/b'], ['a', 'a/c', 'b']],
  ['a/**/b/**/c', ['a/b/c', 'a/x/b/y/c', 'a/b/b/c/c'], ['a/c', 'a/c/b']],
  ['a*b*c', ['abc', 'aXbYc', 'abbc', 'abcbc'], ['ab', 'acb', 'a/b/c']],
  ['[a].txt', ['[a].txt'], ['a.txt']],
  ['***', ['abc'], []],
])('%s', (pattern, yes, no) => {
  for (const path of yes) expect([path, fits(path, pattern)]).toEqual([path, true])
  for (const path of no) expect([path, fits(path, pattern)]).toEqual([path, false])
})

test('no pattern takes long', () => {
  const pattern = `${'*a'.repeat(100)}b`
  expect(fits('a'.repeat(255), pattern)).toBe(false)
  expect(fits(Array.from({ length: 120 }, () => 'a').join('/'), `${'**/a/'.repeat(50)}b`)).toBe(false)
})

test('only a pattern without wildcards names just one file', () => {
  expect(['a/b.csv', '*.csv', 'a/**', 'a?'].map(isLiteral)).toEqual([true, false, false, false])
})
