import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { digest, MANIFEST, pack, type PushedImage } from './registry.ts'

/** Whether Debian's docker-registry is installed here. */
export function hasDebianRegistry(): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, 'docker-registry')))
}

export const USERNAME = 'judge'
export const PASSWORD = 'secret-password'
/** Bcrypt, of the password above. */
const HTPASSWD = `${USERNAME}:$2b$04$RS77xD6kkdEgxvsoDprxDeNWAD7UUhckBpyko9KwFpHl3JuZDPshK\n`

/** Docker's own registry on loopback, that asks everybody for a password. */
export class DebianRegistry implements AsyncDisposable {
  readonly #folder: string
  #child: ChildProcess | undefined
  #port = 0

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async start(): Promise<DebianRegistry> {
    const registry = new DebianRegistry(await mkdtemp(join(tmpdir(), 'registry-')))
    await registry.up()
    return registry
  }

  get port(): number {
    return this.#port
  }

  /** `127.0.0.1:port` */
  get host(): string {
    return `127.0.0.1:${this.#port}`
  }

  /** Starts it again, at the same port and with the same images. */
  async up(): Promise<void> {
    const folder = this.#folder
    await writeFile(join(folder, 'htpasswd'), HTPASSWD)
    const config = {
      version: '0.1',
      log: { accesslog: { disabled: true }, formatter: 'json' },
      storage: { filesystem: { rootdirectory: join(folder, 'data') } },
      http: { addr: `127.0.0.1:${this.#port}`, secret: 'x' },
      auth: { htpasswd: { realm: 'test', path: join(folder, 'htpasswd') } },
    }
    // YAML is a superset of JSON.
    await writeFile(join(folder, 'config.yml'), JSON.stringify(config))
    const child = spawn('docker-registry', ['serve', join(folder, 'config.yml')], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none' },
    })
    this.#child = child
    const lines: string[] = []
    for await (const line of createInterface(child.stderr)) {
      lines.push(line)
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1]
      if (port === undefined) continue
      this.#port = Number(port)
      child.stderr.resume()
      return
    }
    throw new Error(`docker-registry did not start:\n${lines.join('\n')}`)
  }

  async down(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  /** Says the digest. */
  async push(name: string, tag: string, image: PushedImage): Promise<string> {
    const { manifest, digest: id, blobs } = await pack(image)
    for (const blob of blobs) {
      const begun = await this.#send('POST', `/v2/${name}/blobs/uploads/`)
      const place = new URL(begun.headers.get('location') ?? '', `http://${this.host}`)
      place.searchParams.set('digest', digest(blob))
      await this.#send('PUT', place.pathname + place.search, blob, 'application/octet-stream')
    }
    await this.#send('PUT', `/v2/${name}/manifests/${tag}`, Buffer.from(manifest), MANIFEST)
    return id
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #send(method: string, path: string, body?: Buffer, type = 'application/json'): Promise<Response> {
    const authorization = `Basic ${Buffer.from(`${USERNAME}:${PASSWORD}`).toString('base64')}`
    const response = await fetch(`http://${this.host}${path}`, {
      method,
      headers: { authorization, 'content-type': type },
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response
  }
}
