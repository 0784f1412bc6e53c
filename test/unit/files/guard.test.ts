import type { LookupAddress } from 'node:dns'
import { describe, expect, test } from 'vitest'
import { createGuard, type Guard } from '../../../src/files/http/guard.ts'
import { FileError } from '../../../src/files/files.ts'

/** What looking a name up gives: its addresses, or the words of the refusal. */
async function lookUp(guard: Guard, url: string): Promise<LookupAddress[] | string> {
  const lookup = guard.open(url)
  return await new Promise((resolve) => {
    lookup(new URL(url).hostname, { all: true }, (error, addresses) => {
      if (error instanceof FileError) resolve(error.message)
      else resolve(typeof addresses === 'string' ? addresses : addresses)
    })
  })
}

describe('without private hosts', () => {
  const guard = createGuard([])

  test.each([
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://0/',
    'http://10.1.2.3/',
    'http://172.16.0.1:9000/',
    'http://192.168.1.1/',
    'http://100.64.0.1/',
    'http://169.254.169.254/latest',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:a9fe:a9fe]/',
    'http://[fc00::1]/',
    'http://[fe80::1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[2002:7f00:1::]/',
    'http://metadata.google.internal/',
  ])('%s is never asked', (url) => {
    expect(() => guard.open(url)).toThrow(FileError)
  })

  test.each(['http://1.1.1.1/', 'https://[2606:4700:4700::1111]/', 'https://example.com/'])(
    '%s may be asked',
    (url) => {
      expect(() => guard.open(url)).not.toThrow()
    },
  )

  test('a name that leads to this machine is not asked', async () => {
    expect(await lookUp(guard, 'http://localhost:9000/x')).toBe(
      'localhost:9000 is not in the public internet, and private hosts are not asked',
    )
  })
})

describe('with private hosts', () => {
  const guard = createGuard(['LOCALHOST', '10.0.0.1:9000', '127.0.0.1:80', '169.254.169.254'])

  test('those are asked, at their ports where these are named', async () => {
    expect(await lookUp(guard, 'http://localhost:1/')).toEqual(
      expect.arrayContaining([expect.objectContaining({ address: expect.any(String) as string })]),
    )
    expect(() => guard.open('http://10.0.0.1:9000/')).not.toThrow()
    expect(() => guard.open('http://10.0.0.1:9001/')).toThrow(FileError)
    expect(() => guard.open('http://127.0.0.1/')).not.toThrow()
    expect(() => guard.open('https://127.0.0.1/')).toThrow(FileError)
    expect(() => guard.open('http://10.0.0.2:9000/')).toThrow(FileError)
  })

  test('the metadata of a cloud is not, whoever names it', () => {
    expect(() => guard.open('http://169.254.169.254/')).toThrow(/never asked/)
  })
})

test('where nothing is said, all are asked but the metadata of clouds', async () => {
  const guard = createGuard()
  expect(() => guard.open('http://127.0.0.1/')).not.toThrow()
  expect(() => guard.open('http://169.254.169.254/')).toThrow(/never asked/)
  expect(Array.isArray(await lookUp(guard, 'http://localhost/'))).toBe(true)
})
