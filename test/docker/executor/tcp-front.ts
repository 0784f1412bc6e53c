import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Stands in front of a server on loopback, counts what it sends, and cuts connections. It can be reached from another
 * network namespace, too: a helper process there passes on what comes.
 */
export class TcpFront implements AsyncDisposable {
  /** Connections whose server has sent more than so many bytes are cut; undefined = none. */
  cutAfterBytes: number | undefined
  /** How many are cut. */
  cuts = Infinity
  /** How many have been. */
  hasCut = 0
  /** Bytes that the server has sent in all. */
  sentBytes = 0
  readonly #target: () => number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #closers: (() => Promise<void>)[] = []

  private constructor(target: () => number) {
    this.#target = target
    this.#server = createServer((socket) => {
      this.#pass(socket)
    })
  }

  /** In front of a port of this machine. */
  static async start(target: () => number): Promise<TcpFront> {
    const front = new TcpFront(target)
    front.#server.listen(0, '127.0.0.1')
    await once(front.#server, 'listening')
    return front
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Its host as the network namespace of another process sees it. */
  async hostInside(pid: number): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'front-'))
    const path = join(folder, 's')
    const door = createServer((socket) => {
      this.#pass(socket)
    }).listen(path)
    await once(door, 'listening')
    const script = `
      const net = require('node:net')
      const server = net.createServer((from) => {
        const to = net.connect(process.argv[1])
        from.pipe(to).pipe(from)
        from.on('error', () => to.destroy()).on('close', () => to.destroy())
        to.on('error', () => from.destroy()).on('close', () => from.end())
      })
      server.listen(0, '127.0.0.1', () => console.log(server.address().port))`
    const inside = ['-t', String(pid), '-n', process.execPath, '-e', script, path]
    const child: ChildProcess = spawn('nsenter', inside, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#closers.push(async () => {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
      door.close()
      await rm(folder, { recursive: true, force: true })
    })
    const [line] = (await once(child.stdout ?? child, 'data')) as [Buffer]
    return `127.0.0.1:${line.toString().trim()}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    for (const close of this.#closers) await close()
  }

  #pass(from: Socket): void {
    const to = connect(this.#target(), '127.0.0.1')
    let sent = 0
    for (const socket of [from, to]) {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    }
    from.on('error', () => to.destroy()).on('close', () => to.destroy())
    to.on('error', () => from.destroy()).on('close', () => from.end())
    from.pipe(to)
    to.on('data', (data: Buffer) => {
      sent += data.length
      this.sentBytes += data.length
      if (this.cutAfterBytes === undefined || sent <= this.cutAfterBytes || this.hasCut >= this.cuts) {
        from.write(data)
        return
      }
      this.hasCut += 1
      // What came before the cut arrives.
      from.end(data.subarray(0, Math.max(0, data.length - (sent - this.cutAfterBytes))))
      to.destroy()
    })
  }
}
