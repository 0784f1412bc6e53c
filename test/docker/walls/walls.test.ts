import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requireEngine } from '../../support/engine.ts'
import { hasPython } from '../../support/images.ts'
import { buildWalled, FOLDER, MIB, NOBODY, type Walled } from './walled.ts'

const engine = await requireEngine()
const canRun = engine !== undefined && process.platform === 'linux' && (await hasPython())

/** What a program can find out about where it is, as JSON. */
const LOOK_AROUND = `
import json, os, resource, socket
def read(path): return open(path).read()
status = dict(line.split(':', 1) for line in read('/proc/self/status').splitlines())
mounts = {m[1]: m[3].split(',') for m in (line.split() for line in read('/proc/mounts').splitlines())}
folder = os.stat('/work')
print(json.dumps({
  'caps': [status['Cap' + each].strip() for each in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb')],
  'nnp': status['NoNewPrivs'].strip(), 'seccomp': status['Seccomp'].strip(), 'uid': os.getresuid(), 'gid': os.getresgid(),
  'cwd': os.getcwd(), 'folder': [oct(folder.st_mode), folder.st_uid, folder.st_gid],
  'root': mounts['/'], 'work': mounts['/work'], 'tmp': mounts['/tmp'], 'shm': mounts['/dev/shm'],
  'devices': sorted(name for _, name in socket.if_nameindex()),
  'nofile': resource.getrlimit(resource.RLIMIT_NOFILE), 'fsize': resource.getrlimit(resource.RLIMIT_FSIZE),
  'core': resource.getrlimit(resource.RLIMIT_CORE), 'first': read('/proc/1/comm').strip(),
  'groups': read('/proc/self/cgroup'), 'environment': dict(os.environ),
}))
`

/** Defines \`refused\`, the name of the error that something ends with. */
const REFUSED = `
import errno, json, os, socket
def refused(work):
  try: work()
  except OSError as error: return errno.errorcode[error.errno]
  return 'allowed'
def write(path, size=1):
  with open(path, 'wb') as file: file.write(bytes(size))
`

describe.skipIf(!canRun)('walls', () => {
  let walled: Walled

  beforeAll(async () => {
    if (engine !== undefined) walled = await buildWalled(engine)
  })
  afterAll(() => walled.executor.close())

  it('leave a program no rights and no network', async () => {
    const seen = (await walled.ask(LOOK_AROUND, { environment: { HELLO: 'you' } })) as Record<string, unknown>
    expect(seen['caps']).toEqual(Array(5).fill('0000000000000000'))
    expect(seen).toMatchObject({
      ...{ nnp: '1', seccomp: '2', first: 'docker-init', cwd: '/work', devices: ['lo'] },
      ...{ uid: [NOBODY, NOBODY, NOBODY], gid: [NOBODY, NOBODY, NOBODY] },
      ...{ folder: ['0o40700', NOBODY, NOBODY], nofile: [128, 128], core: [0, 0] },
      fsize: [16 * MIB, 16 * MIB],
    })
    expect(seen['root']).toContain('ro')
    expect(seen['work']).toEqual(expect.arrayContaining(['rw', 'nosuid', 'nodev', 'size=8192k']))
    expect(seen['work']).not.toContain('noexec')
    expect(seen['tmp']).toEqual(expect.arrayContaining(['nosuid', 'nodev', 'size=4096k', 'nr_inodes=100']))
    expect(seen['shm']).toContain('size=1024k')
    expect(seen['groups']).not.toContain('opthub')
    const environment = seen['environment'] as Record<string, string>
    expect(environment['HELLO']).toBe('you')
    const known = /^(HELLO|PATH|HOME|HOSTNAME|LC_CTYPE|PYTHONHOME|PYTHONDONTWRITEBYTECODE)$/
    expect(Object.keys(environment).filter((name) => !known.test(name))).toEqual([])
  })

  it('stand though the limits name none of them', async () => {
    const bare = { ...walled.spec(), limits: {} }
    await using task = await walled.executor.start(bare, new AbortController().signal)
    await task.send(
      Buffer.from(`${REFUSED}
print(json.dumps([os.getresuid(), os.getresgid(), refused(lambda: write('/x')), len(socket.if_nameindex())]))`),
    )
    let printed = ''
    for await (const { data } of task.output()) printed += Buffer.from(data).toString()
    const ids = [NOBODY, NOBODY, NOBODY]
    expect(JSON.parse(printed)).toEqual([ids, ids, 'EROFS', 1])
  })

  it('bound what can be written, and where', async () => {
    const seen = (await walled.ask(`${REFUSED}
def many(folder):
  for n in range(1000): write(f'{folder}/{n}', 0)
def fill(folder):
  for n in range(100): write(f'{folder}/big{n}', 1 << 20)
places = ['/x', '/app/x', '/etc/x', '/dev/x', '/proc/sys/kernel/hostname', '/sys/fs/cgroup/x', '/run/x', '/var/x']
out = {'places': [refused(lambda: write(place)) for place in places]}
for folder in ('/work', '/tmp'):
  out[folder] = refused(lambda: fill(folder))
  for name in os.listdir(folder): os.unlink(f'{folder}/{name}')
  out[folder + ' many'] = [refused(lambda: many(folder)), len(os.listdir(folder))]
  for name in os.listdir(folder): os.unlink(f'{folder}/{name}')
out['shm'] = refused(lambda: write('/dev/shm/x', 2 << 20))
print(json.dumps(out))`)) as Record<string, unknown>
    expect(seen['places']).not.toContain('allowed')
    expect(seen).toMatchObject({ '/work': 'ENOSPC', '/tmp': 'ENOSPC', shm: 'ENOSPC' })
    expect(seen['/work many']).toEqual(['ENOSPC', FOLDER.inodes])
    expect(seen['/tmp many']).toEqual(['ENOSPC', 99])
  })

  it('let compiled programs run in the working folder, with no more rights than before', async () => {
    const seen = await walled.ask(`${REFUSED}
import shutil, subprocess
shutil.copy('/usr/bin/python3', '/work/p')
os.chmod('/work/p', 0o6755)
out = subprocess.run(['/work/p', '-c', 'import os; print(os.getresuid())'], capture_output=True, text=True).stdout
print(json.dumps([out.strip(), refused(lambda: os.mknod('/work/d', 0o20666, os.makedev(1, 3)))]))`)
    expect(seen).toEqual([`(${NOBODY}, ${NOBODY}, ${NOBODY})`, 'EPERM'])
  })

  it('bound processes and memory, swap too', async () => {
    const forked = await walled.ask(
      `${REFUSED}
import time
count = 0
def fork():
  global count
  while True:
    if os.fork() == 0: time.sleep(100)
    count += 1
why = refused(fork)
print(json.dumps([why, count]))`,
      { limits: { pids: 20 } },
    )
    expect(forked).toEqual(['EAGAIN', 18])
    const { oomKilled, exitCode } = await walled.run(
      'b = bytearray(10**9)\nfor i in range(0, len(b), 4096): b[i] = 1',
      {
        limits: { memoryBytes: 64 * MIB },
      },
    )
    expect({ oomKilled, exitCode }).toEqual({ oomKilled: true, exitCode: 137 })
  })

  it("reach the container as the engine's own settings", async () => {
    await using task = await walled.start('import time; time.sleep(100)')
    const { HostConfig: host, Mounts: mounts } = (await engine?.json(
      'GET',
      `/containers/${task.id}/json`,
    )) as {
      HostConfig: Record<string, unknown>
      Mounts: { Type: string; Destination: string; Name?: string }[]
    }
    expect(host).toMatchObject({
      ...{
        CapDrop: ['ALL'],
        CapAdd: null,
        Privileged: false,
        ReadonlyRootfs: true,
        Init: true,
        IpcMode: 'private',
      },
      ...{
        NetworkMode: 'none',
        AutoRemove: false,
        LogConfig: { Type: 'none' },
        PidsLimit: 64,
        NanoCpus: 1e9,
      },
      ...{ Memory: 256 * MIB, MemorySwap: 256 * MIB, ShmSize: MIB, Binds: null, Devices: null },
    })
    expect(host['SecurityOpt']).toContain('no-new-privileges')
    expect(mounts.filter(({ Type }) => Type === 'volume').map(({ Destination }) => Destination)).toEqual([
      '/work',
    ])
  })

  it('turn signals into exit codes as a shell does', async () => {
    const by = async (signal: string): Promise<number> =>
      (await walled.run(`import os, signal; os.kill(os.getpid(), signal.${signal})`)).exitCode
    expect([await by('SIGKILL'), await by('SIGSEGV'), await by('SIGABRT'), await by('SIGTERM')]).toEqual([
      137, 139, 134, 143,
    ])
  })

  describe('around an image with volumes', () => {
    const VOLUMES = ['/data', '/work', '/tmp/', '/work/inner', '/app/../other']
    let other: Walled

    beforeAll(async () => {
      if (engine === undefined) return
      const changes = VOLUMES.map((path) => `VOLUME ${path}`)
      other = await buildWalled(engine, { tag: 'opthub-runner-test/walled-volumes:1', changes })
    })
    afterAll(() => other.executor.close())

    it('leave nothing to be written there', async () => {
      const program = `${REFUSED}
print(json.dumps([refused(lambda: write(f'{folder}/x')) for folder in ('/data', '/work/inner', '/other', '/work', '/tmp')]))`
      expect(await other.ask(program)).toEqual(['EROFS', 'EROFS', 'EROFS', 'allowed', 'allowed'])
    })

    it('make no volume but the working folder', async () => {
      await using task = await other.start('import time; time.sleep(100)')
      const { Mounts: mounts } = (await engine?.json('GET', `/containers/${task.id}/json`)) as {
        Mounts: { Type: string; Destination: string }[]
      }
      expect(mounts.filter(({ Type }) => Type === 'volume').map(({ Destination }) => Destination)).toEqual([
        '/work',
      ])
    })
  })
})
