import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OperatorError } from '../../../../src/core/errors.ts'
import { resolveEndpoints } from '../../../../src/matches/opthub/endpoints.ts'
import type { Keyring } from '../../../../src/matches/opthub/keyring.ts'
import { createLoginStore, type LoginStore } from '../../../../src/matches/opthub/token-store.ts'

const LOGIN = { username: 'alice', refreshToken: 'a-refresh-token' }
const endpoints = resolveEndpoints(false)

let dataDir: string

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'opthub-store-'))
})

afterEach(async () => {
  await rm(dataDir, { recursive: true, force: true })
})

class MemoryKeyring implements Keyring {
  readonly secrets = new Map<string, string>()
  broken = false

  async get(name: string): Promise<string | undefined> {
    await this.#check()
    return this.secrets.get(name)
  }

  async set(name: string, secret: string): Promise<void> {
    await this.#check()
    this.secrets.set(name, secret)
  }

  async remove(name: string): Promise<void> {
    await this.#check()
    this.secrets.delete(name)
  }

  async #check(): Promise<void> {
    await Promise.resolve()
    if (this.broken) throw new Error('the keyring is locked')
  }
}

function openStore(keyring?: Keyring, at = endpoints): LoginStore {
  return createLoginStore({ dataDir, endpoints: at, keyring: () => Promise.resolve(keyring) })
}

async function files(): Promise<string[]> {
  return (await readdir(join(dataDir, 'opthub'))).sort()
}

async function loginFile(): Promise<string> {
  return join(dataDir, 'opthub', (await files()).find((name) => name.endsWith('.json')) ?? '')
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777
}

describe.each([
  ['a keyring', () => new MemoryKeyring()],
  ['a key file', () => undefined],
])('with %s', (where, makeKeyring) => {
  it('keeps a login for its owner alone, not as plain text', async () => {
    const keyring = makeKeyring()
    const store = openStore(keyring)
    expect(await store.read()).toBeUndefined()
    expect(await store.peek()).toBeUndefined()
    const written = await store.write(LOGIN)
    expect(await openStore(keyring).read()).toEqual(LOGIN)
    expect(await store.peek()).toEqual({ ...written, keyFile: undefined })
    expect(written.username).toBe('alice')
    expect(written.key).toBe(where === 'a keyring' ? 'keyring' : 'file')
    expect(await modeOf(join(dataDir, 'opthub'))).toBe(0o700)
    for (const name of await files()) {
      const path = join(dataDir, 'opthub', name)
      expect(await modeOf(path)).toBe(0o600)
      expect(await readFile(path, 'utf8')).not.toContain(LOGIN.refreshToken)
    }
  })

  it('replaces and removes it', async () => {
    const keyring = makeKeyring()
    const store = openStore(keyring)
    await store.write(LOGIN)
    await store.write({ username: 'bob', refreshToken: 'another' })
    expect(await store.read()).toEqual({ username: 'bob', refreshToken: 'another' })
    expect(await store.remove()).toBe(true)
    expect(await store.read()).toBeUndefined()
    expect(await store.remove()).toBe(false)
    expect(keyring?.secrets.size ?? 0).toBe(0)
  })

  it('keeps a login for each OptHub', async () => {
    const keyring = makeKeyring()
    await openStore(keyring).write(LOGIN)
    const other = openStore(keyring, resolveEndpoints(true))
    expect(await other.read()).toBeUndefined()
    await other.write({ username: 'dev', refreshToken: 'dev-token' })
    expect(await openStore(keyring).read()).toEqual(LOGIN)
    await other.remove()
    expect(await openStore(keyring).read()).toEqual(LOGIN)
  })

  it('tells of a file that was changed, torn or swapped', async () => {
    const keyring = makeKeyring()
    const store = openStore(keyring)
    await store.write(LOGIN)
    const path = await loginFile()
    const good = await readFile(path, 'utf8')
    const fields = JSON.parse(good) as Record<string, string>
    const wrong = [
      '',
      good.slice(0, 40),
      'null',
      '[]',
      '{"version":2}',
      JSON.stringify({ ...fields, username: 'mallory' }),
      JSON.stringify({ ...fields, data: Buffer.from('other').toString('base64') }),
      JSON.stringify({ ...fields, tag: '' }),
      JSON.stringify({ ...fields, iv: '' }),
      'x'.repeat(100_000),
    ]
    for (const text of wrong) {
      await writeFile(path, text)
      await expect(store.read()).rejects.toThrow(OperatorError)
      await store.peek()
    }
    await store.write(LOGIN)
    expect(await store.read()).toEqual(LOGIN)
  })

  it('survives many logins at once', async () => {
    const keyring = makeKeyring()
    const names = Array.from({ length: 12 }, (_, n) => `user-${n}`)
    await Promise.all(
      names.map((name) => openStore(keyring).write({ username: name, refreshToken: `token-of-${name}` })),
    )
    const found = await openStore(keyring).read()
    expect(found?.refreshToken).toBe(`token-of-${found?.username ?? ''}`)
    // Nothing half-written is left behind.
    expect((await files()).filter((name) => !/\.(json|key)$/.test(name))).toEqual([])
  })
})

it('says where the key is when there is no keyring, and makes the key anew when it is damaged', async () => {
  const store = openStore()
  const keyFile = join(dataDir, 'opthub', 'login.key')
  expect(await store.write(LOGIN)).toMatchObject({ keyFile, key: 'file' })
  await writeFile(keyFile, 'nonsense')
  await expect(store.read()).rejects.toThrow(/can not be opened.*login\.key/)
  await store.write(LOGIN)
  expect(await store.read()).toEqual(LOGIN)
  await rm(keyFile)
  await expect(store.read()).rejects.toMatchObject({ hint: 'Run `opthub-runner login` again.' })
})

it('takes a key file when the keyring does not work', async () => {
  const keyring = new MemoryKeyring()
  keyring.broken = true
  const store = openStore(keyring)
  expect((await store.write(LOGIN)).key).toBe('file')
  expect(await store.read()).toEqual(LOGIN)
})

it('takes a key file when the keyring forgets at once', async () => {
  const keyring = new MemoryKeyring()
  keyring.set = () => Promise.resolve()
  const store = openStore(keyring)
  expect((await store.write(LOGIN)).key).toBe('file')
  expect(await store.read()).toEqual(LOGIN)
})

it('tells why a keyring gives its key no more', async () => {
  const keyring = new MemoryKeyring()
  const store = openStore(keyring)
  await store.write(LOGIN)
  keyring.broken = true
  await expect(store.read()).rejects.toThrow(/keyring.*is locked/)
  expect(await store.peek()).toMatchObject({ username: 'alice' })
  expect(await store.remove()).toBe(true)
})

it('narrows rights that are too wide', async () => {
  await mkdir(join(dataDir, 'opthub'), { mode: 0o755 })
  const store = openStore()
  await store.write(LOGIN)
  await chmod(join(dataDir, 'opthub', 'login.key'), 0o644)
  await store.write(LOGIN)
  expect(await modeOf(join(dataDir, 'opthub'))).toBe(0o700)
  expect(await modeOf(join(dataDir, 'opthub', 'login.key'))).toBe(0o600)
})

it('tells when it can not be written', async () => {
  await writeFile(join(dataDir, 'opthub'), 'a file in the way')
  await expect(openStore().write(LOGIN)).rejects.toMatchObject({
    what: 'The login can not be stored',
    hint: expect.stringContaining('OPTHUB_RUNNER_HOME') as string,
  })
})
