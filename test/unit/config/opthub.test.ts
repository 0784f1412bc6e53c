import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import type { Config } from '../../../src/config/schema.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'opthub-config-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

async function load(text: string, environment: Record<string, string> = {}): Promise<Config['opthub']> {
  const file = join(folder, 'config.yml')
  await writeFile(file, text)
  return (await loadConfig({ file, required: true, environment, flags: {} })).config.opthub
}

describe('opthub', () => {
  test('is empty by default, and read key by key', async () => {
    expect(await load('')).toEqual({})
    const text =
      'opthub: {api_url: "https://x.example/graphql", client_id: 1a2b, user_pool_id: eu-west-1_Ab1, region: eu-west-1}'
    expect(await load(text)).toEqual({
      api_url: 'https://x.example/graphql',
      client_id: '1a2b',
      user_pool_id: 'eu-west-1_Ab1',
      region: 'eu-west-1',
    })
    expect(await load('', { OPTHUB_RUNNER_OPTHUB__CLIENT_ID: 'other' })).toEqual({ client_id: 'other' })
  })

  test.each([
    'opthub: {api: x}',
    'opthub: {api_url: x}',
    'opthub: {user_pool_id: "../x"}',
    'opthub: {region: "a b"}',
  ])('refuses %s', async (text) => {
    await expect(load(text)).rejects.toThrow(/opthub/)
  })

  test("finds another server of Cognito by AWS's own variables", async () => {
    const own = { AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER: 'http://127.0.0.1:1' }
    const general = { AWS_ENDPOINT_URL: 'http://127.0.0.1:2' }
    expect(await load('', own)).toEqual({ cognito_url: 'http://127.0.0.1:1' })
    // OptHub's own pool is nowhere else, whatever serves the queues.
    expect(await load('', general)).toEqual({})
    const pool = 'opthub: {user_pool_id: local_1}'
    expect(await load(pool, general)).toEqual({ user_pool_id: 'local_1', cognito_url: 'http://127.0.0.1:2' })
    expect(await load('opthub: {cognito_url: "http://127.0.0.1:3"}', own)).toEqual({
      cognito_url: 'http://127.0.0.1:3',
    })
    expect(await load(pool, { ...general, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' })).toEqual({
      user_pool_id: 'local_1',
    })
  })
})
