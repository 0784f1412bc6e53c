import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { holderProgram } from '../../../../src/executors/docker/network/holder-image.ts'

/** Node's names of the architectures → Docker's. */
const ARCHITECTURE = { x64: 'amd64', arm64: 'arm64' }[process.arch as string]

describe('the program that holds a network', () => {
  it.each([
    ['amd64', 62],
    ['arm64', 183],
  ])('is a small executable for %s', (architecture, machine) => {
    const file = Buffer.from(holderProgram(architecture) ?? '')
    expect(file.length).toBeLessThan(200)
    expect(file.subarray(0, 6)).toEqual(Buffer.from('\x7fELF\x02\x01', 'latin1'))
    expect(file.readUInt16LE(18)).toBe(machine)
    // It begins right behind the headers, and all of the file is loaded.
    expect(file.readBigUInt64LE(24) - file.readBigUInt64LE(80)).toBe(120n)
    expect(file.readBigUInt64LE(96)).toBe(BigInt(file.length))
  })

  it('does not exist for other processors', () => {
    expect(holderProgram('s390x')).toBeUndefined()
  })

  it.skipIf(process.platform !== 'linux' || ARCHITECTURE === undefined)(
    'waits, and ends in order on SIGTERM',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'holder-'))
      try {
        await writeFile(join(folder, 'hold'), holderProgram(ARCHITECTURE ?? '') ?? '', { mode: 0o755 })
        const child = spawn(join(folder, 'hold'))
        await once(child, 'spawn')
        // A signal before it blocks them would end it otherwise.
        await new Promise((resolve) => setTimeout(resolve, 200))
        expect([child.exitCode, child.signalCode]).toEqual([null, null])
        child.kill('SIGTERM')
        expect(await once(child, 'exit')).toEqual([0, null])
      } finally {
        await rm(folder, { recursive: true })
      }
    },
  )
})
