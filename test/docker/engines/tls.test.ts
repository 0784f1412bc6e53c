import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OperatorError } from '../../../src/core/errors.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildShellImage } from '../../support/images.ts'
import { setUp, text } from '../executor/harness.ts'
import { startTlsFront, type TlsFront } from './tls-front.ts'

const direct = await requireEngine()
const isLocal = direct?.label.startsWith('unix://') === true
const socketPath = direct?.label.replace('unix://', '') ?? ''
const can = (program: string, word: string): boolean => spawnSync(program, [word]).status === 0
const IMAGE = `opthub-runner-test/tls-${crypto.randomUUID()}:1`

describe.skipIf(!isLocal || !can('openssl', 'version'))('an engine behind TLS', () => {
  let front: TlsFront

  beforeAll(async () => {
    if (direct === undefined) return
    await buildShellImage(direct, IMAGE, 'cat')
    front = await startTlsFront(socketPath)
  })
  afterAll(async () => {
    await direct?.json('DELETE', `/images/${encodeURIComponent(IMAGE)}`, { query: { force: '1' } })
    direct?.close()
    front[Symbol.dispose]()
  })

  /** What the environment of somebody with client certificates holds. */
  const verified = (name = '127.0.0.1'): Record<string, string> => ({
    DOCKER_HOST: `tcp://${name}:${front.port}`,
    DOCKER_TLS_VERIFY: '1',
    DOCKER_CERT_PATH: front.folder,
  })

  async function failure(environment: Record<string, string>): Promise<OperatorError> {
    const error: unknown = await connectEngine({ environment }).catch((e: unknown) => e)
    if (!(error instanceof OperatorError)) throw new Error('it did not fail as it should', { cause: error })
    expect(error.exitCode).toBe(69)
    return error
  }

  it.each(['127.0.0.1', 'localhost'])('runs tasks at %s with the files of DOCKER_CERT_PATH', async (name) => {
    const engine = await connectEngine({ environment: verified(name) })
    expect(engine.label).toBe(`tcp://${name}:${front.port}`)
    const bench = setUp(engine, IMAGE)
    try {
      const { lastLine } = await bench.run('cat', { input: Buffer.from('1\n2') })
      expect(text(lastLine.bytes)).toBe('2')
    } finally {
      await bench.close()
    }
  })

  it("takes the files from Docker's own folder when no other is named", async () => {
    const { DOCKER_CERT_PATH, ...rest } = verified()
    const engine = await connectEngine({ environment: { ...rest, DOCKER_CONFIG: DOCKER_CERT_PATH ?? '' } })
    engine.close()
  })

  it.skipIf(!can('docker', '--version'))('uses a context as `docker context create` stores it', async () => {
    const config = join(front.folder, 'config')
    const { folder, port } = front
    const docker = `host=tcp://localhost:${port},ca=${folder}/ca.pem,cert=${folder}/cert.pem,key=${folder}/key.pem`
    const env = { PATH: process.env['PATH'], DOCKER_CONFIG: config }
    execFileSync('docker', ['context', 'create', 'far', '--docker', docker], { env, stdio: 'pipe' })
    const environment = { DOCKER_CONFIG: config, DOCKER_CONTEXT: 'far' }
    const engine = await connectEngine({ environment })
    expect(engine.label).toBe(`tcp://localhost:${port}`)
    engine.close()
    execFileSync('docker', ['context', 'use', 'far'], { env, stdio: 'pipe' })
    const current = await connectEngine({ environment: { DOCKER_CONFIG: config } })
    expect(current.label).toBe(`tcp://localhost:${port}`)
    current.close()
  })

  it.each([
    ['an engine whose authority is another', () => ({ ...verified(), DOCKER_CERT_PATH: front.foreign })],
    [
      'no certificate of one’s own',
      () => {
        const bare = join(front.folder, 'bare')
        mkdirSync(bare, { recursive: true })
        copyFileSync(join(front.folder, 'ca.pem'), join(bare, 'ca.pem'))
        return { ...verified(), DOCKER_CERT_PATH: bare }
      },
    ],
  ])('says what to check for %s', async (_, environment) => {
    const error = await failure(environment())
    expect(error.what).toMatch(/^No secure connection to Docker at tcp:/)
    expect(error.hint).toContain('DOCKER_CERT_PATH')
  })

  it('looks at the name of the engine only under DOCKER_TLS_VERIFY', async () => {
    using other = await startTlsFront(socketPath, 'DNS:elsewhere')
    const verifying = {
      ...verified(),
      DOCKER_HOST: `tcp://localhost:${other.port}`,
      DOCKER_CERT_PATH: other.folder,
    }
    const error = await failure(verifying)
    expect(error.what).toMatch(/^No secure connection/)
    expect(error.why).toContain('elsewhere')
    const engine = await connectEngine({
      environment: { ...verifying, DOCKER_TLS_VERIFY: '', DOCKER_TLS: '1' },
    })
    engine.close()
  })

  it('leaves no connection open', async () => {
    await expect.poll(() => front.connections()).toBe(0)
  })
})
