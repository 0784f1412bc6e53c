import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import { createDockerExecutor } from '../../../src/executors/docker/docker-executor.ts'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import { SECCOMP_PROFILE } from '../../../src/executors/docker/walls/seccomp.ts'
import { createLogger } from '../../../src/core/log.ts'
import { canStartPrivateEngine } from '../../support/engine.ts'
import { hasPython } from '../../support/images.ts'
import { buildWalled, end, FOLDER, type SpecChanges, type Walled } from '../walls/walled.ts'
import { BUSYBOX, busyboxImage, iprouteImage } from './images.ts'
import { answers, reach, type Reached } from './reach.ts'
import { createWorld, forgetNeighbours, WORLD, type World } from './world.ts'

const isAble = canStartPrivateEngine() && BUSYBOX !== undefined && (await hasPython())
if (!isAble)
  console.error(
    '\n!!! Jobs with internet are NOT tested: that takes root, dockerd, busybox-static and python3\n',
  )

const never = new AbortController().signal
const DNS = ['1.1.1.1', '8.8.8.8']
let world: World
let engine: Engine
let walled: Walled
let changes: SpecChanges

describe.skipIf(!isAble)('a job with internet', () => {
  beforeAll(async () => {
    world = await createWorld()
    engine = await connectEngine({ host: world.engine.host, environment: {} })
    walled = await buildWalled(engine, { pullPolicy: 'never' })
    changes = withInternet(await iprouteImage(engine))
  })

  afterAll(async () => {
    await walled.executor.close()
    engine.close()
    await world[Symbol.asyncDispose]()
  })

  it('passes the self-test, by the `ip` of busybox and of iproute2', async () => {
    await walled.executor.assertInternet({ image: await busyboxImage(engine), dns: DNS }, never)
    await walled.executor.assertInternet({ image: await iprouteImage(engine), dns: DNS }, never)
    await expect.poll(left).toEqual([])
  })

  it('reaches the public internet, by IPv4 and IPv6, though no other address by any trick', async () => {
    const ways = ['tcp', 'udp', 'tcp bound', 'udp bound', 'udp unbound', 'udp aimed']
    const open = (await walled.ask(reach(WORLD.public, ways), changes)) as Reached
    expect(answers(open)).toEqual(WORLD.public.flatMap((each) => ways.map((way) => `${each} ${way}`)).sort())

    const closed = [
      ...WORLD.host,
      ...WORLD.beyond,
      ...[
        '172.17.255.255',
        '255.255.255.255',
        '224.0.0.251',
        'ff02::1',
        '::ffff:10.9.0.1',
        '::ffff:172.17.0.1',
      ],
    ]
    const many = { ...changes, limits: { ...changes.limits, pids: 400 } }
    const seen = (await walled.ask(reach(closed), many)) as Reached
    expect(answers(seen)).toEqual([])
    expect(Object.keys(seen)).toHaveLength(closed.length)
    // An honest program need not wait: it gets "no route to host" or "network unreachable".
    const honest = (await walled.ask(reach([...WORLD.host, ...WORLD.beyond], ['tcp']), many)) as Reached
    const others = Object.entries(honest).filter(([, { tcp }]) => !['113', '101'].includes(tcp?.[0] ?? ''))
    expect(others).toEqual([])
  })

  it('differs in that from one on the bridge, whom all of them answer', async () => {
    await using task = await startOpen(reach([...WORLD.host, ...WORLD.public], ['tcp', 'udp']))
    const seen = JSON.parse((await end(task)).stdout) as Reached
    const all = [...WORLD.host, ...WORLD.public].flatMap((each) => [`${each} tcp`, `${each} udp`])
    expect(answers(seen)).toEqual(all.sort())
  })

  it('reaches no other container, with internet or without', async () => {
    const server = `
import socket, time
s = socket.create_server(('0.0.0.0', ${WORLD.port}))
while True:
    c, _ = s.accept()
    c.sendall(b'hello')
    c.close()
`
    await using neighbour = await startOpen(server)
    await using other = await walled.start(server, changes)
    const addresses = Array.from({ length: 8 }, (_, index) => `172.17.0.${index + 2}`)
    await using open = await startOpen(reach(addresses, ['tcp']))
    // Nor is the other one with internet reached by them.
    const seen = JSON.parse((await end(open)).stdout) as Reached
    expect(answers(seen)).toEqual([`${await addressOf(neighbour.id)} tcp`])
    expect(
      answers(
        (await walled.ask(reach(addresses), {
          ...changes,
          limits: { network: 'default', pids: 400 },
        })) as Reached,
      ),
    ).toEqual([])
    expect(await other.isRunning()).toBe(true)
  })

  it('keeps its way when all neighbours forget each other', async () => {
    const program = `
import socket, time
for n in range(4):
    for address in ${JSON.stringify(WORLD.public)}:
        with socket.create_connection((address, ${WORLD.port}), timeout=10) as s: print(s.recv(9).decode(), flush=True)
    time.sleep(0.3)
`
    await using task = await walled.start(program, changes)
    const names = (await left()).filter((name) => name.startsWith('/internet-'))
    const pids = await Promise.all(names.map(pidOf))
    const over = new AbortController()
    const ended = over.signal
    const ending = end(task).finally(() => {
      over.abort()
    })
    // One at a time: each has to ask by itself.
    const all = [world.engine.pid, ...pids]
    for (let n = 0; !ended.aborted; n += 1) {
      await forgetNeighbours(all[n % all.length] ?? 0)
      await delay(300)
    }
    const { stdout, stderr } = await ending
    expect(stderr).toBe('')
    expect(stdout.trim().split('\n')).toEqual(Array.from({ length: 4 * WORLD.public.length }, () => 'hello'))
  })

  it('has the name servers of the config and no others', async () => {
    const program = "print(__import__('json').dumps(open('/etc/resolv.conf').read()))"
    const text = (await walled.ask(program, changes)) as string
    const lines = text.split('\n').filter((line) => /^nameserver|^search/.test(line))
    expect(lines).toEqual(DNS.map((each) => `nameserver ${each}`))
  })

  it('can change nothing of its network', async () => {
    const attempts = await walled.ask(
      `
import json, os, socket, struct
out = {}
def attempt(name, work):
    try: out[name] = str(work())
    except OSError as error: out[name] = error.errno
def route(kind):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    # A route to 172.16.0.0/12 by the device with index 2, or its removal.
    body = struct.pack('BBBBBBBBI', 2, 12, 0, 0, 254, 3, 253, 1, 0) + struct.pack('HH4s', 8, 1, bytes([172, 16, 0, 0])) + struct.pack('HHI', 8, 4, socket.if_nametoindex('eth0'))
    s.send(struct.pack('IHHII', 16 + len(body), kind, 0x605, 1, 0) + body)
    answer = s.recv(1000)
    code = struct.unpack('i', answer[16:20])[0]
    if code: raise OSError(-code, 'refused')
attempt('add', lambda: route(24))
attempt('remove', lambda: route(25))
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
attempt('dns', lambda: open('/etc/resolv.conf', 'w'))
attempt('forward', lambda: open('/proc/sys/net/ipv4/ip_forward', 'w'))
def transparent():
    s = socket.socket()
    s.setsockopt(0, 19, 1)
attempt('transparent', transparent)
print(json.dumps(out))
`,
      changes,
    )
    const refused = expect.toSatisfy((code: unknown) => [1, 13, 30, 97].includes(code as number)) as number
    expect(attempts).toEqual({
      ...{ add: refused, remove: refused, raw: refused, packet: refused },
      ...{ dns: refused, forward: refused, transparent: refused },
    })
  })

  it('leaves nothing behind, however it ends', async () => {
    await expect.poll(left).toEqual([])
    await walled.run('print(1)', changes)
    await expect.poll(left).toEqual([])
    await expect(walled.start('', { ...changes, command: ['\0'] })).rejects.toThrow()
    await expect.poll(left).toEqual([])
    const stopping = new AbortController()
    const starting = walled.executor.start(walled.spec(changes), stopping.signal)
    setTimeout(() => {
      stopping.abort(new Error('stopped'))
    }, 300)
    await expect(starting).rejects.toThrow('stopped')
    await expect.poll(left).toEqual([])
  })

  it('is cleared away with its network when its runner was killed', async () => {
    const dead = createDockerExecutor({
      ...{ engine, processName: 'dead', environment: {}, pullPolicy: 'never' },
      // The same boot and a pid that no process can have.
      owner: (await ownerOfThis()).replace(/:\d+:\d+$/, ':999999999:1'),
      log: createLogger(() => undefined),
    })
    const task = await dead.start(walled.spec(changes), never)
    expect(await left()).toHaveLength(3)
    await walled.executor.reap(never)
    await expect.poll(left).toEqual([])
    await task[Symbol.asyncDispose]()
  })

  it('is not at fault when its network dies', async () => {
    await using task = await walled.start('import time; time.sleep(60)', changes)
    const helpers = (await left()).filter((name) => name.startsWith('/internet-'))
    await engine.json('DELETE', `/containers${helpers[0] ?? ''}`, { query: { force: '1' } })
    await task.kill(0)
    await expect(task.wait()).rejects.toThrow('lost its network')
  })
})

function withInternet(image: string): SpecChanges {
  return {
    limits: { network: 'default' },
    walls: { seccomp: SECCOMP_PROFILE, workdir: FOLDER, internet: { image, dns: DNS } },
  }
}

/** A program in a container like any other on the engine's bridge. */
async function startOpen(program: string) {
  const { walls, ...spec } = walled.spec({ limits: { network: 'default' } })
  expect(walls).toBeDefined()
  const task = await walled.executor.start({ ...spec, isUnique: true }, never)
  await task.send(Buffer.from(program))
  return task
}

/** Of the container that it has its network from, or of its own. */
async function addressOf(container: string): Promise<string> {
  const answer = (await engine.json('GET', `/containers/${container}/json`)) as {
    NetworkSettings: { IPAddress: string }
    HostConfig: { NetworkMode: string }
  }
  const [, holder] = /^container:(.*)/.exec(answer.HostConfig.NetworkMode) ?? []
  return holder === undefined ? answer.NetworkSettings.IPAddress : await addressOf(holder)
}

async function pidOf(name: string): Promise<number> {
  const answer = (await engine.json('GET', `/containers${name}/json`)) as { State: { Pid: number } }
  return answer.State.Pid
}

/** The owner in the labels of this process's containers. */
async function ownerOfThis(): Promise<string> {
  await using task = await walled.start('', changes)
  const answer = (await engine.json('GET', `/containers/${task.id}/json`)) as {
    Config: { Labels: Record<string, string> }
  }
  return answer.Config.Labels['org.opthub.runner.owner'] ?? ''
}

/** Containers of ours on the engine, those aside that hold networks for jobs of another sort. */
async function left(): Promise<string[]> {
  const filters = JSON.stringify({ label: ['org.opthub.runner.owner'] })
  const query = { all: '1', filters }
  const all = (await engine.json('GET', '/containers/json', { query })) as Listed[]
  const others = all.filter(({ Labels }) => Labels['org.opthub.runner.kind'] !== 'holder')
  return others.flatMap(({ Names }) => Names)
}

interface Listed {
  Names: string[]
  Labels: Record<string, string>
}
