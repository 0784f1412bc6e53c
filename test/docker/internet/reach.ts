import { WORLD } from './world.ts'

/** Ways to reach an address, the tricks among them that walk around the routes of a program's own network. */
export const WAYS = [
  'tcp',
  'udp',
  'tcp bound',
  'udp bound',
  'udp unbound',
  'tcp direct',
  'udp direct',
  'udp aimed',
] as const

/** A program that tries to reach addresses, all at a time; prints what came of each way, as JSON. */
export function reach(addresses: readonly string[], ways: readonly string[] = WAYS): string {
  return `
import json, socket, struct, threading, time
port = ${WORLD.port}
out = {}
index = socket.if_nametoindex('eth0') if any(name == 'eth0' for _, name in socket.if_nameindex()) else 0
def attempt(address, way):
    v6 = ':' in address
    kind, _, trick = way.partition(' ')
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(2)
    if kind == 'udp' and not v6: s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if trick in ('bound', 'direct'): s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')
    if trick == 'direct': s.setsockopt(socket.SOL_SOCKET, 5, 1)
    if trick == 'unbound':
        if v6: s.setsockopt(socket.IPPROTO_IPV6, 76, struct.pack('!I', index))
        else: s.setsockopt(socket.IPPROTO_IP, 50, struct.pack('!I', index))
    target = (address, port, 0, index) if v6 and (trick or address.startswith('f')) else (address, port)
    if kind == 'tcp':
        s.connect(target)
        return s.recv(10).decode()
    if trick == 'aimed':
        level, data = (socket.IPPROTO_IPV6, bytes(16) + struct.pack('I', index)) if v6 else (socket.IPPROTO_IP, struct.pack('I', index) + bytes(8))
        s.sendmsg([b'hi'], [(level, 50 if v6 else 8, data)], 0, target)
    else:
        s.sendto(b'hi', target)
    if address.endswith('.255') or address.startswith(('224.', 'ff')): s.sendto(b'hi', (address, port + 1))
    return s.recvfrom(10)[0].decode()
def note(address, way):
    start = time.monotonic()
    try: result = attempt(address, way)
    except OSError as error: result = type(error).__name__ if error.errno is None else f'{error.errno}'
    out.setdefault(address, {})[way] = [result, time.monotonic() - start]
threads = [threading.Thread(target=note, args=(a, w)) for a in ${JSON.stringify(addresses)} for w in ${JSON.stringify(ways)}]
for each in threads: each.start()
for each in threads: each.join()
print(json.dumps(out))
`
}

/** Address → way → what came of it, and after how many seconds. */
export type Reached = Record<string, Record<string, [result: string, seconds: number]>>

/** The ways by which somebody answered. */
export function answers(reached: Reached): string[] {
  return Object.entries(reached)
    .flatMap(([address, ways]) =>
      Object.entries(ways).flatMap(([way, [result]]) => (result === 'hello' ? [`${address} ${way}`] : [])),
    )
    .sort()
}
