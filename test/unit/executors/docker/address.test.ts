import { describe, expect, it } from 'vitest'
import { OperatorError } from '../../../../src/core/errors.ts'
import { parseHost } from '../../../../src/executors/docker/api/address.ts'
import { Engine } from '../../../../src/executors/docker/api/engine.ts'
import { sshArguments } from '../../../../src/executors/docker/api/ssh-connection.ts'

describe('parseHost', () => {
  it.each([
    ['unix:///run/x.sock', { socketPath: '/run/x.sock' }],
    ['unix://', { socketPath: '/var/run/docker.sock' }],
    ['/run/x.sock', { socketPath: '/run/x.sock' }],
    ['tcp://box:1234', { hostname: 'box', port: 1234 }],
    ['tcp://box', { hostname: 'box', port: 2375 }],
    ['tcp://box/', { hostname: 'box', port: 2375 }],
    ['tcp://box:1234/a/b/', { hostname: 'box', port: 1234, basePath: '/a/b' }],
    ['http://box:80', { hostname: 'box', port: 80 }],
    ['https://box:443', { hostname: 'box', port: 443, tls: { verify: true } }],
    ['box:1234', { hostname: 'box', port: 1234 }],
    ['http://[::1]:99', { hostname: '::1', port: 99 }],
    ['tcp://box:2376', { hostname: 'box', port: 2376, tls: { verify: true } }],
    ['https://box', { hostname: 'box', port: 2376, tls: { verify: true } }],
  ])('reads %s', (host, address) => {
    expect(parseHost(host, { os: 'linux' })).toEqual(address)
  })

  it('reads a named pipe on Windows, and says elsewhere that only Windows has them', () => {
    const pipe = 'npipe:////./pipe/docker_engine'
    expect(parseHost(pipe, { os: 'win32' })).toEqual({ socketPath: '//./pipe/docker_engine' })
    expect(() => parseHost(pipe, { os: 'linux' })).toThrow(/only Windows/)
  })

  it('takes TLS for any tcp host that comes with files', () => {
    const tls = { ca: 'x', verify: true }
    expect(parseHost('tcp://box', { tls })).toEqual({ hostname: 'box', port: 2376, tls })
  })

  it.each([
    ['ssh://box', ['--', 'box', 'docker', 'system', 'dial-stdio']],
    ['ssh://me@box:2222', ['-l', 'me', '-p', '2222', '--', 'box', 'docker', 'system', 'dial-stdio']],
    [
      'ssh://box/run/user/1000/docker.sock',
      ['--', 'box', 'docker', '--host', 'unix:///run/user/1000/docker.sock', 'system', 'dial-stdio'],
    ],
    ["ssh://box/a%20b';x", ['--', 'box', 'docker', '--host', `'unix:///a b'\\'';x'`, 'system', 'dial-stdio']],
    ['ssh://[fe80::1]:22', ['-p', '22', '--', 'fe80::1', 'docker', 'system', 'dial-stdio']],
  ])('reads %s', (host, words) => {
    const address = parseHost(host, { environment: { PATH: '/bin' } })
    if (!('ssh' in address)) throw new Error('no ssh')
    expect(address.ssh.environment).toEqual({ PATH: '/bin' })
    expect(sshArguments(address.ssh)).toEqual([
      '-o',
      'BatchMode=yes',
      '-o',
      'ConnectTimeout=30',
      '-o',
      'ServerAliveInterval=30',
      '-T',
      ...words,
    ])
  })

  it.each([
    ...['ftp://x', 'tcp://', 'what is this', 'tcp://me@box', 'tcp://box:99999', 'tcp://box?x=1', ''],
    ...['ssh://', 'ssh://me:secret@box', 'ssh://box?x=1'],
  ])('refuses "%s" with a way out, and shows no password', (host) => {
    let error: unknown
    try {
      parseHost(host)
    } catch (thrown) {
      error = thrown
    }
    if (!(error instanceof OperatorError)) throw new Error('it was not refused', { cause: error })
    expect(error).toMatchObject({ exitCode: 78, hint: expect.stringContaining('ssh://') as string })
    expect(`${error.what} ${error.why}`).not.toContain('secret')
  })

  it.each(['unix:///run/x.sock', 'tcp://box:1234/a', 'tcp://[::1]:99', 'ssh://me@box:2222', 'ssh://box'])(
    'gives %s as the label of its engine',
    (host) => {
      expect(new Engine(parseHost(host)).label).toBe(host)
    },
  )
})
