import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { writeTar, type TarEntry } from '../../../src/executors/docker/images/tar.ts'

export interface PushedImage {
  entries: readonly TarEntry[]
  command: readonly string[]
  /** Default that of this machine. */
  architecture?: string
}

export const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
const ARCHITECTURES: Record<string, string> = { x64: 'amd64', ia32: '386' }

/** A registry (read only, version 2) on a real socket of this machine, with faults to order. */
export class TestRegistry {
  /** `name:tag` or `name@digest` → manifest. */
  readonly #manifests = new Map<string, string>()
  readonly #blobs = new Map<string, Buffer>()
  readonly #server: Server
  /** What was asked for, e.g. `GET /v2/x/manifests/latest`. */
  readonly requests: string[] = []
  /** Answers of the next requests for a manifest, instead of the right ones; `hang` = none. */
  faults: (number | 'hang')[] = []
  /** `user:password` that is asked for. */
  login: string | undefined
  /** How long the download of a layer takes. */
  layerDelayMs = 0

  private constructor(server: Server) {
    this.#server = server
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.#answer(request, response)
    })
  }

  static async start(): Promise<TestRegistry> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TestRegistry(server)
  }

  /** `127.0.0.1:port`, to be put before an image's name; engines speak plain HTTP to it. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async push(name: string, tag: string, image: PushedImage): Promise<void> {
    const { manifest, blobs } = await pack(image)
    for (const blob of blobs) this.#blobs.set(digest(blob), blob)
    this.#manifests.set(`${name}:${tag}`, manifest)
    this.#manifests.set(`${name}:${digest(Buffer.from(manifest))}`, manifest)
  }

  /** Gives an image one more tag. */
  copy(name: string, tag: string, other: string): void {
    const manifest = this.#manifests.get(`${name}:${tag}`)
    if (manifest !== undefined) this.#manifests.set(`${name}:${other}`, manifest)
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #answer({ method = '', url = '', headers }: IncomingMessage, response: ServerResponse): void {
    this.requests.push(`${method} ${url}`)
    const expected =
      this.login === undefined ? undefined : `Basic ${Buffer.from(this.login).toString('base64')}`
    if (expected !== undefined && headers.authorization !== expected) {
      response.setHeader('WWW-Authenticate', 'Basic realm="test"')
      refuse(response, 401, 'UNAUTHORIZED', 'authentication required')
      return
    }
    const [, name = '', kind, reference = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url) ?? []
    if (kind === 'manifests') this.#giveManifest(name, reference, response)
    else if (kind === 'blobs') this.#giveBlob(reference, headers.range, response)
    else response.end('{}')
  }

  #giveManifest(name: string, reference: string, response: ServerResponse): void {
    const fault = this.faults.shift()
    if (fault === 'hang') return
    if (fault !== undefined) {
      refuse(response, fault, fault === 429 ? 'TOOMANYREQUESTS' : 'UNKNOWN', 'made to fail')
      return
    }
    const manifest = this.#manifests.get(`${name}:${reference}`)
    if (manifest === undefined) {
      refuse(response, 404, 'MANIFEST_UNKNOWN', 'manifest unknown')
      return
    }
    response.setHeader('Content-Type', MANIFEST)
    response.setHeader('Docker-Content-Digest', digest(Buffer.from(manifest)))
    response.setHeader('Content-Length', manifest.length)
    response.end(manifest)
  }

  #giveBlob(reference: string, range: string | undefined, response: ServerResponse): void {
    const blob = this.#blobs.get(reference)
    // An engine goes on where a connection was cut.
    const from = Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0)
    const part = blob?.subarray(from)
    const length = blob?.length ?? 0
    setTimeout(() => {
      response
        .writeHead(part === undefined ? 404 : range === undefined ? 200 : 206, {
          'Content-Length': part?.length ?? 0,
          ...(range === undefined ? {} : { 'Content-Range': `bytes ${from}-${length - 1}/${length}` }),
        })
        .end(part)
    }, this.layerDelayMs)
  }
}

/** An image as registries hold it. */
export interface PackedImage {
  manifest: string
  /** The digest of the manifest. */
  digest: string
  blobs: readonly Buffer[]
}

export async function pack(image: PushedImage): Promise<PackedImage> {
  const layer = await buffer(Readable.from(writeTar(image.entries)))
  const packed = gzipSync(layer, { level: 1 })
  const config = Buffer.from(
    JSON.stringify({
      architecture: image.architecture ?? ARCHITECTURES[process.arch] ?? process.arch,
      os: 'linux',
      config: { Cmd: image.command },
      rootfs: { type: 'layers', diff_ids: [digest(layer)] },
    }),
  )
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: describe(config, 'application/vnd.docker.container.image.v1+json'),
    layers: [describe(packed, 'application/vnd.docker.image.rootfs.diff.tar.gzip')],
  })
  return { manifest, digest: digest(Buffer.from(manifest)), blobs: [packed, config] }
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.setHeader('Content-Type', 'application/json')
  response.writeHead(status).end(JSON.stringify({ errors: [{ code, message }] }))
}

export function digest(data: Buffer): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`
}

function describe(data: Buffer, mediaType: string): object {
  return { mediaType, size: data.length, digest: digest(data) }
}
