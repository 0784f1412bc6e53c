import { describe, expect, it } from 'vitest'
import { containerBody, type ContainerSpec } from '../../../../src/executors/docker/container.ts'
import { withinWalls } from '../../../../src/executors/docker/walls/walls.ts'
import { ImageError, type TaskSpec } from '../../../../src/executors/executor.ts'

const SPEC: TaskSpec = { name: 'n', kind: 'evaluator', image: 'x', environment: {}, limits: {}, keep: false }
const OWNERSHIP = { owner: 'process:a:b:1:2', processName: 'judge', ageLimitSeconds: 600 }
const SETTING = { networkMode: 'default', hostsFile: '/h/hosts' }
const body = (spec: Partial<TaskSpec> = {}, setting = SETTING): unknown =>
  containerBody({ ...SPEC, ...spec }, OWNERSHIP, setting)

describe('containerBody', () => {
  it('leaves to the engine what nobody has set', () => {
    expect(body()).toEqual({
      Image: 'x',
      Env: [],
      Labels: {
        'org.opthub.runner.kind': 'evaluator',
        'org.opthub.runner.process': 'judge',
        'org.opthub.runner.owner': 'process:a:b:1:2',
        'org.opthub.runner.keep': 'false',
        'org.opthub.runner.age-limit': '600',
      },
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      OpenStdin: true,
      StdinOnce: true,
      Tty: false,
      Healthcheck: { Test: ['NONE'] },
      HostConfig: {
        NetworkMode: 'default',
        LogConfig: { Type: 'none', Config: {} },
        AutoRemove: false,
        RestartPolicy: { Name: 'no' },
      },
    })
  })

  it('puts every wall where the engine wants it', () => {
    const limits = {
      cpus: 1.5,
      memoryBytes: 1000,
      pids: 10,
      shmBytes: 2000,
      network: 'none',
      readOnly: true,
      user: '1:2',
      tmpfs: { '/tmp': 'size=1m' },
      ulimits: { nofile: 7 },
      runtime: 'runsc',
    } as const
    expect(body({ limits })).toMatchObject({
      User: '1:2',
      NetworkDisabled: true,
      HostConfig: {
        NanoCpus: 1_500_000_000,
        Memory: 1000,
        MemorySwap: 1000,
        PidsLimit: 10,
        ShmSize: 2000,
        NetworkMode: 'none',
        ReadonlyRootfs: true,
        Tmpfs: { '/tmp': 'size=1m' },
        Ulimits: [{ Name: 'nofile', Soft: 7, Hard: 7 }],
        Runtime: 'runsc',
      },
    })
  })

  it('joins the network that it is told to, unless it may have none', () => {
    const setting = { ...SETTING, networkMode: 'container:abc' }
    expect(body({}, setting)).toMatchObject({ HostConfig: { NetworkMode: 'container:abc' } })
    expect(body({ limits: { network: 'none' } }, setting)).toMatchObject({
      NetworkDisabled: true,
      HostConfig: { NetworkMode: 'none' },
    })
  })

  it('gives a container without network an /etc/hosts, unless it brings its own', () => {
    const hosts = { Type: 'bind', Source: '/h/hosts', Target: '/etc/hosts', ReadOnly: true }
    const limits = { network: 'none' } as const
    expect(body({ limits })).toMatchObject({ HostConfig: { Mounts: [hosts] } })
    const mounts = [{ source: '/mine', target: '/etc/hosts', readOnly: false }]
    expect(body({ limits, mounts })).toMatchObject({
      HostConfig: { Mounts: [{ ...hosts, Source: '/mine', ReadOnly: false }] },
    })
  })

  it('mounts files and folders, and works where it is told to', () => {
    const mounts = [{ source: '/a', target: '/b', readOnly: false }]
    expect(body({ mounts, workdir: '/b' })).toMatchObject({
      WorkingDir: '/b',
      HostConfig: { Mounts: [{ Type: 'bind', Source: '/a', Target: '/b', ReadOnly: false }] },
    })
  })

  it('gives a kept container a log of bounded size', () => {
    expect(body({ keep: true })).toMatchObject({
      Labels: { 'org.opthub.runner.keep': 'true' },
      HostConfig: { LogConfig: { Type: 'json-file', Config: { 'max-size': '32m', 'max-file': '2' } } },
    })
  })

  it('passes words and values on as they are', () => {
    const command = ['a b', '$X', '"']
    expect(body({ command, environment: { A: '', B: 'x=y\nz' } })).toMatchObject({
      Cmd: command,
      Env: ['A=', 'B=x=y\nz'],
    })
  })

  it.each([
    [{ environment: { 'A=B': 'x' } }],
    [{ environment: { '': 'x' } }],
    [{ environment: { A: 'secret\0value' } }],
    [{ command: ['a\0b'] }],
  ])('refuses %j, and shows no value', (spec) => {
    expect(() => body(spec)).toThrow(ImageError)
    expect(() => body(spec)).toThrow(/^(?!.*secret)/)
  })

  describe('with walls', () => {
    const workdir = { path: '/work', bytes: 5000, inodes: 9, uid: 7 }
    const walls = { seccomp: '{}', workdir }
    const setting = {
      networkMode: 'default',
      hostsFile: undefined,
      walls: { image: 'sha256:1', volumes: ['/data', '/work/', '/tmp', '//x/../y'], cgroupParent: '/above' },
    }
    const within = (spec: Partial<ContainerSpec> = {}): Body =>
      containerBody(withinWalls({ ...SPEC, walls, ...spec }), OWNERSHIP, setting) as Body

    it('asks for all of them though no limit is set', () => {
      expect(within()).toMatchObject({
        Image: 'sha256:1',
        User: '7:7',
        WorkingDir: '/work',
        NetworkDisabled: true,
        HostConfig: {
          CapDrop: ['ALL'],
          SecurityOpt: ['no-new-privileges', 'seccomp={}'],
          Init: true,
          IpcMode: 'private',
          ReadonlyRootfs: true,
          NetworkMode: 'none',
          CgroupParent: '/above',
        },
      })
      expect(within({ limits: { user: 'nobody' } })).toMatchObject({ User: 'nobody' })
      expect(within({ limits: { network: 'default' } })).toMatchObject({ NetworkDisabled: true })
      expect(within({ workdir: '/work/in' })).toMatchObject({ WorkingDir: '/work/in' })
    })

    it('makes a folder in memory that goes with the container, and closes the volumes of the image', () => {
      const [folder, ...closed] = within({ limits: { tmpfs: { '/tmp': '' } } }).HostConfig.Mounts
      expect(folder).toMatchObject({
        Type: 'volume',
        Target: '/work',
        VolumeOptions: {
          NoCopy: true,
          Labels: { 'org.opthub.runner.owner': OWNERSHIP.owner },
          DriverConfig: { Options: { o: 'size=5000,nr_inodes=10,uid=7,gid=7,mode=0700,nosuid,nodev' } },
        },
      })
      expect(folder).not.toHaveProperty('Source')
      expect(closed).toMatchObject(
        ['/data', '/y'].map((Target) => ({ Type: 'tmpfs', Target, ReadOnly: true })),
      )
    })

    it('never makes a folder without bound', () => {
      const none = { ...walls, workdir: { ...workdir, bytes: 0, inodes: 0 } }
      const [folder] = within({ walls: none }).HostConfig.Mounts
      expect(JSON.stringify(folder)).toContain('size=4096,nr_inodes=1,')
    })

    it('uses a folder that is there', () => {
      const kept = {
        ...{ id: 'v1', spec: workdir, [Symbol.asyncDispose]: () => Promise.resolve() },
        archive: () => {
          throw new Error('not asked for')
        },
      }
      const [folder] = within({ walls: { ...walls, workdir: kept }, isWorkdirReadOnly: true }).HostConfig
        .Mounts
      expect(folder).toEqual({
        ...{ Type: 'volume', Source: 'v1', Target: '/work', ReadOnly: true, VolumeOptions: { NoCopy: true } },
      })
    })
  })
})

interface Body {
  HostConfig: { Mounts: unknown[] }
}
