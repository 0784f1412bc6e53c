import { describe, expect, it } from 'vitest'
import { reachFrom } from '../../../../src/executors/docker/network/reach.ts'

const LOCAL = 'unix:///run/docker.sock'

describe('how a server in a container is reached', () => {
  it.each([
    [LOCAL, 'loopback'],
    ['tcp://127.0.0.1:2375', 'loopback'],
    ['tcp://[::1]:2375', 'loopback'],
    ['tcp://localhost:2375', 'loopback'],
    ['tcp://localhost.example:2375', 'none'],
    ['tcp://10.0.0.1:2375', 'none'],
    ['ssh://me@localhost', 'none'],
  ])('from the machine, the engine at %s: %s', (label, how) => {
    expect(reachFrom(undefined, label).how).toBe(how)
  })

  it.each([
    ['host', {}, { how: 'loopback' }],
    ['default', { bridge: { IPAddress: '172.17.0.2' } }, { how: 'network', network: 'bridge' }],
    [
      'mine',
      { none: { IPAddress: '' }, mine: { IPAddress: '10.1.0.2' } },
      { how: 'network', network: 'mine' },
    ],
    ['none', { none: { IPAddress: '' } }, { how: 'none' }],
    ['none', null, { how: 'none' }],
  ])('from a container whose network is %s', (mode, networks, reach) => {
    const own = { HostConfig: { NetworkMode: mode }, NetworkSettings: { Networks: networks } }
    expect(reachFrom(own, LOCAL)).toMatchObject(reach)
    // The engine says that it runs us: then it matters no more how it is reached.
    expect(reachFrom(own, 'tcp://10.0.0.1:2375')).toMatchObject(reach)
  })
})
