import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { registryAuth, type RegistryLogin } from '../../../../src/executors/docker/images/registry-auth.ts'

let folder: string
const never = new AbortController().signal

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'docker-config-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** What the engine is told, from these logins and this config file of Docker's. */
async function told(
  registry: string,
  {
    logins = {},
    file,
    signal = never,
  }: { logins?: Record<string, RegistryLogin>; file?: object; signal?: AbortSignal },
): Promise<unknown> {
  if (file !== undefined) await writeFile(join(folder, 'config.json'), JSON.stringify(file))
  const environment = { DOCKER_CONFIG: folder, PATH: `${folder}:${process.env['PATH'] ?? ''}` }
  const auth = await registryAuth(registry, { logins, environment, signal, timeoutMs: 5000 })
  if (auth === undefined) return undefined
  expect(auth.header).toMatch(/^[A-Za-z0-9_-]+=*$/)
  const { serveraddress, ...rest } = JSON.parse(Buffer.from(auth.header, 'base64url').toString()) as Record<
    string,
    string
  >
  for (const secret of [rest['password'], rest['identitytoken']]) {
    if (secret !== undefined) expect(auth.secrets).toContain(secret)
  }
  expect(serveraddress).toBeTruthy()
  return rest
}
const auth = Buffer.from('file:of docker').toString('base64')

describe('registryAuth', () => {
  it.each(['ghcr.io', 'https://ghcr.io', 'GHCR.io', 'http://ghcr.io/v2/'])(
    'finds the login for %s',
    async (key) => {
      const pair = { username: 'me', password: 'ä?>~' }
      expect(await told('ghcr.io', { logins: { 'r.io': { token: 'x' }, [key]: pair } })).toEqual(pair)
      expect(await told('ghcr.io', { file: { auths: { [key]: { auth } } } })).toEqual({
        username: 'file',
        password: 'of docker',
      })
      expect(
        await told('ghcr.io.evil', { logins: { [key]: pair }, file: { auths: { [key]: { auth } } } }),
      ).toBeUndefined()
    },
  )

  it.each(['docker.io', 'index.docker.io', 'https://index.docker.io/v1/', 'registry-1.docker.io'])(
    'knows the Docker Hub as %s',
    async (key) => {
      expect(await told('docker.io', { logins: { [key]: { token: 'long token' } } })).toEqual({
        identitytoken: 'long token',
      })
    },
  )

  it("prefers the runner's own, and reads tokens and pairs of the file", async () => {
    const logins = { 'r.io': { username: 'own', password: 'own' } }
    const file = {
      auths: { 'r.io': { auth }, 's.io': { identitytoken: 't' }, 't.io': { username: 'u', password: 'p' } },
    }
    expect(await told('r.io', { logins, file })).toEqual({ username: 'own', password: 'own' })
    expect(await told('s.io', { logins, file })).toEqual({ identitytoken: 't' })
    expect(await told('t.io', { logins, file })).toEqual({ username: 'u', password: 'p' })
    expect(await told('u.io', { logins, file })).toBeUndefined()
  })

  it.each([
    '{"broken',
    '[]',
    'null',
    '{"auths": [1], "credHelpers": "x", "credsStore": 3}',
    '{"auths": {"r.io": {"auth": "%%"}}}',
  ])('asks without a login where the file is %s', async (text) => {
    await writeFile(join(folder, 'config.json'), text)
    expect(await told('r.io', {})).toBeUndefined()
  })

  it('takes the helper of a registry before that for all, and its token', async () => {
    for (const name of ['one', 'all']) {
      await writeFile(
        join(folder, `docker-credential-${name}`),
        `#!/bin/sh\nread server\necho '{"Username": "<token>", "Secret": "'$server' of ${name}"}'\n`,
      )
      await chmod(join(folder, `docker-credential-${name}`), 0o755)
    }
    const file = { credHelpers: { 'r.io': 'one' }, credsStore: 'all' }
    expect(await told('r.io', { file })).toEqual({ identitytoken: 'r.io of one' })
    expect(await told('s.io', { file })).toEqual({ identitytoken: 's.io of all' })
  })

  it('ends when it is cut, whatever the helper does', async () => {
    await writeFile(join(folder, 'docker-credential-slow'), '#!/bin/sh\nsleep 20\n')
    await chmod(join(folder, 'docker-credential-slow'), 0o755)
    const stop = new AbortController()
    const asking = told('r.io', { file: { credsStore: 'slow' }, signal: stop.signal })
    setTimeout(() => {
      stop.abort(new Error('enough'))
    }, 50)
    await expect(asking).rejects.toThrow('enough')
  })
})
