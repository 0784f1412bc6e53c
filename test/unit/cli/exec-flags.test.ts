import { describe, expect, it } from 'vitest'
import { readExecFlags, type ExecFlags } from '../../../src/cli/exec-flags.ts'
import { OperatorError } from '../../../src/core/errors.ts'

const read = (flags: Partial<ExecFlags>, environment: Record<string, string> = {}) =>
  readExecFlags({ rm: true, ...flags }, environment)

describe('readExecFlags', () => {
  it('says nothing where nothing is said', () => {
    expect(read({})).toEqual({ mounts: [], env: {}, limits: {}, keep: false })
  })

  it.each([
    ['data', { source: 'data', readOnly: false }],
    ['data:ro', { source: 'data', readOnly: true }],
    ['/a b:/c d', { source: '/a b', target: '/c d', readOnly: false }],
    ['./x:/y:ro', { source: './x', target: '/y', readOnly: true }],
    ['x:/y:rw', { source: 'x', target: '/y', readOnly: false }],
    ['C:\\data:/data:ro', { source: 'C:\\data', target: '/data', readOnly: true }],
  ])('reads the mount %s', (text, mount) => {
    expect(read({ mount: [text] }).mounts).toEqual([mount])
  })

  it('reads variables, and takes from here what has no value', () => {
    const env = ['A=1', 'B=', 'C=x=y z', 'HERE', 'NOT_HERE', 'A=2']
    expect(read({ env }, { HERE: 'h' }).env).toEqual({ A: '2', B: '', C: 'x=y z', HERE: 'h' })
  })

  it('reads limits in the units that people use', () => {
    const flags = {
      cpus: '1.5',
      memory: '2g',
      pids: '100',
      shmSize: '64 MiB',
      network: 'none',
      readOnly: true,
      tmpfs: ['/tmp', '/run:size=1m,mode=1777'],
      ulimit: ['nofile=1024', 'core=-1'],
      runtime: 'runsc',
      platform: 'linux/arm64/v8',
    } as const
    expect(read({ ...flags, tmpfs: [...flags.tmpfs], ulimit: [...flags.ulimit] }).limits).toEqual({
      cpus: 1.5,
      memoryBytes: 2 * 1024 ** 3,
      pids: 100,
      shmBytes: 64 * 1024 ** 2,
      network: 'none',
      readOnly: true,
      tmpfs: { '/tmp': '', '/run': 'size=1m,mode=1777' },
      ulimits: { nofile: 1024, core: -1 },
      runtime: 'runsc',
      platform: 'linux/arm64/v8',
    })
  })

  it('reads the rest', () => {
    expect(
      read({ timeout: '1.5', gpus: 'all', pull: 'missing', workdir: '/w', user: '1:2', rm: false }),
    ).toMatchObject({
      timeoutMs: 1500,
      gpus: 'all',
      pull: 'if-not-present',
      workdir: '/w',
      user: '1:2',
      keep: true,
    })
    expect(read({ timeout: '10m', gpus: '2' })).toMatchObject({ timeoutMs: 600_000, gpus: 2 })
    expect(read({ gpus: 'GPU-1a-b,MIG-2' }).gpus).toEqual(['GPU-1a-b', 'MIG-2'])
  })

  it.each<[string, Partial<ExecFlags>]>([
    ['--mount', { mount: [''] }],
    ['--mount', { mount: ['a:b'] }],
    ['--mount', { mount: ['a:/b:rx'] }],
    ['--env', { env: ['=1'] }],
    ['--env', { env: [''] }],
    ['--gpus', { gpus: 'some' }],
    ['--gpus', { gpus: '-1' }],
    ['--timeout', { timeout: '0' }],
    ['--timeout', { timeout: 'soon' }],
    ['--cpus', { cpus: '0' }],
    ['--memory', { memory: 'much' }],
    ['--pids', { pids: '1.5' }],
    ['--shm-size', { shmSize: '0' }],
    ['--network', { network: 'host' }],
    ['--tmpfs', { tmpfs: ['tmp'] }],
    ['--ulimit', { ulimit: ['nofile'] }],
    ['--platform', { platform: 'arm64' }],
    ['--pull', { pull: 'sometimes' }],
  ])('refuses a wrong %s (%j)', (flag, flags) => {
    expect(() => read(flags)).toThrow(OperatorError)
    expect(() => read(flags)).toThrow(new RegExp(`^${flag} must be `))
  })
})
