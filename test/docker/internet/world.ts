import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { startPrivateEngine, type PrivateEngine } from '../../support/engine.ts'

const run = promisify(execFile)

/** Where something listens in the world below. */
export const WORLD = {
  port: 4321,
  public: ['1.1.1.1', '8.8.8.8', '2606:4700::1111'],
  /** Beyond the engine's machine, and routed there. */
  beyond: [
    ...['10.200.0.1', '100.64.0.9', '169.254.7.7', '172.20.0.1', '192.168.9.9', '198.18.0.1', '203.0.113.5'],
    ...['168.63.129.16', '240.1.1.1', 'fd12::1', '2002:a00:1::1', '64:ff9b::a00:1', '2001:db8::1'],
  ],
  /** Of the engine's machine itself. */
  host: [
    ...['10.9.0.1', '192.168.77.1', '169.254.169.254', '9.9.9.9', '8.8.8.1', '172.17.0.1'],
    ...['fd00:ec2::254', '2a00:77::1', '2a00:1450:77::1'],
  ],
}

const ALL = [...WORLD.public, ...WORLD.beyond, ...WORLD.host]

/** Echoes to everybody, by TCP and UDP. */
const LISTENER = `
import socket, sys, threading
s = socket.create_server(('::', ${WORLD.port}), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
def bound(address):
    # One for each: an answer then comes from where it was asked for.
    each = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
    # Before the engine's bridge has them all.
    each.setsockopt(socket.IPPROTO_IPV6 if ':' in address else socket.IPPROTO_IP, 78 if ':' in address else 15, 1)
    try: each.bind((address, ${WORLD.port}))
    except OSError: return None
    return each
us = [each for each in map(bound, sys.argv[1:]) if each]
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v.bind(('0.0.0.0', ${WORLD.port + 1}))
try: v.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('224.0.0.251') + socket.inet_aton('172.17.0.1'))
except OSError: pass
def echo(each):
    while True:
        data, peer = each.recvfrom(100)
        try: each.sendto(b'hello', peer)
        except OSError: pass
for each in [*us, v]: threading.Thread(target=echo, args=(each,), daemon=True).start()
print('listening', flush=True)
while True:
    c, _ = s.accept()
    try: c.sendall(b'hello')
    except OSError: pass
    c.close()
`

/** An engine on a machine of its own, with a small internet behind it; all of it goes when it is disposed of. */
export interface World extends AsyncDisposable {
  engine: PrivateEngine
}

/** Makes it of network namespaces; nothing of this machine's own network is touched. */
export async function createWorld(): Promise<World> {
  const engine = await startPrivateEngine({ args: ['--ipv6', '--fixed-cidr-v6', '2a00:1450:77::/64'] })
  const internet = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', 'unshare', '-n', 'sh', '-c', 'echo ready; exec sleep infinity'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const listeners: ChildProcess[] = []
  async function close(): Promise<void> {
    for (const each of [...listeners, internet]) {
      if (each.exitCode !== null || each.signalCode !== null) continue
      const ended = once(each, 'exit')
      each.kill('SIGKILL')
      await ended
    }
    await engine[Symbol.asyncDispose]()
  }
  try {
    await once(internet.stdout, 'data')
    const beyond = internet.pid ?? 0
    await inside(engine.pid, [
      `ip link add out0 type veth peer name in0 netns ${beyond}`,
      'ip link set out0 up',
      'ip addr add 8.8.8.1/24 dev out0',
      'ip -6 addr add 2a00:77::1/64 dev out0 nodad',
      ...['10.9.0.1', '192.168.77.1', '169.254.169.254', '9.9.9.9'].map(
        (each) => `ip addr add ${each}/32 dev out0`,
      ),
      'ip -6 addr add fd00:ec2::254/128 dev out0 nodad',
      'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding',
      'ip route add default via 8.8.8.8',
    ])
    await inside(beyond, [
      'ip link set lo up',
      'ip link set in0 up',
      'ip addr add 8.8.8.8/24 dev in0',
      'ip -6 addr add 2a00:77::8/64 dev in0 nodad',
      ...[...WORLD.public, ...WORLD.beyond]
        .filter((each) => each !== '8.8.8.8')
        .map((each) =>
          each.includes(':') ? `ip -6 addr add ${each}/128 dev lo nodad` : `ip addr add ${each}/32 dev lo`,
        ),
      'ip -6 route add default via 2a00:77::1',
    ])
    await inside(engine.pid, ['ip -6 route add default via 2a00:77::8'])
    for (const pid of [engine.pid, beyond]) listeners.push(await listen(pid))
    return { engine, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Empties the neighbour tables of the network that a process is in. */
export async function forgetNeighbours(pid: number): Promise<void> {
  await inside(pid, ['ip neigh flush all', 'ip -6 neigh flush all'])
}

async function inside(pid: number, commands: readonly string[]): Promise<void> {
  await run('nsenter', ['-t', String(pid), '-n', 'sh', '-e', '-c', commands.join('\n')])
}

async function listen(pid: number): Promise<ChildProcess> {
  const child = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', 'nsenter', '-t', String(pid), '-n', 'python3', '-c', LISTENER, ...ALL],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  await once(child.stdout, 'data')
  return child
}
