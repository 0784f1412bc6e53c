import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, describe, expect, it } from 'vitest'
import { writeTar, type TarEntry } from '../../../../src/executors/docker/images/tar.ts'

const folder = mkdtempSync(join(tmpdir(), 'tar-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
})

const read = (entries: readonly TarEntry[]): Promise<Buffer> => buffer(Readable.from(writeTar(entries)))
const file = join(folder, 'file')
writeFileSync(file, Buffer.alloc(70_000, 'x'))
const long = `/${'d'.repeat(90)}/${'e'.repeat(90)}/name`
const ENTRIES: TarEntry[] = [
  { path: '/tmp', type: 'folder', mode: 0o1777 },
  { path: '/a/text', type: 'text', content: 'ä\n' },
  { path: '/a/run', type: 'text', content: '#!', mode: 0o755 },
  { path: '/empty', type: 'text', content: '' },
  { path: '/file', type: 'file', from: file },
  { path: '/link', type: 'link', target: '/a/run' },
  { path: long, type: 'text', content: 'far' },
]

describe('writeTar', () => {
  it('writes what tar reads', async () => {
    const archive = join(folder, 'x.tar')
    const bytes = await read(ENTRIES)
    expect(bytes.length % 512).toBe(0)
    writeFileSync(archive, bytes)
    const lines = execFileSync('tar', ['-tvf', archive, '--numeric-owner'], { encoding: 'utf8' })
      .trim()
      .split('\n')
    const seen = lines
      .map((line) => line.split(/\s+/))
      .map(([mode, owner, size, , , ...name]) => [mode, owner, size, name.join(' ')])
    expect(seen).toEqual([
      ['drwxrwxrwt', '0/0', '0', 'tmp'],
      ['-rw-r--r--', '0/0', '3', 'a/text'],
      ['-rwxr-xr-x', '0/0', '2', 'a/run'],
      ['-rw-r--r--', '0/0', '0', 'empty'],
      ['-rwxr-xr-x', '0/0', '70000', 'file'],
      ['lrwxrwxrwx', '0/0', '0', 'link -> /a/run'],
      ['-rw-r--r--', '0/0', '3', long.slice(1)],
    ])
    const extract = (name: string): string =>
      execFileSync('tar', ['-xOf', archive, name], { encoding: 'utf8' })
    expect(extract('a/text')).toBe('ä\n')
    expect(extract(long.slice(1))).toBe('far')
    expect(extract('file')).toHaveLength(statSync(file).size)
  })

  it('writes the same bytes again', async () => {
    expect(Buffer.compare(await read(ENTRIES), await read(ENTRIES))).toBe(0)
  })

  it('refuses a name that does not fit', async () => {
    await expect(read([{ path: `/${'x'.repeat(101)}`, type: 'text', content: '' }])).rejects.toThrow(
      'does not fit',
    )
  })
})
