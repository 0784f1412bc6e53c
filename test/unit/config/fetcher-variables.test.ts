import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseDotEnv } from '../../../src/config/dot-env.ts'
import { loadConfig } from '../../../src/config/load.ts'

describe('parseDotEnv', () => {
  it.each([
    ['A=b', 'b'],
    ['  export A = b  ', 'b'],
    ['A=b # a comment', 'b'],
    ['A=b#c', 'b#c'],
    ['A=#b', '#b'],
    ['A= # nothing', ''],
    ['A=', ''],
    ['A="b # c"', 'b # c'],
    ['A="b\\nc\\"d"', 'b\nc"d'],
    ["A='b\\nc' # d", 'b\\nc'],
    ["A='it\\'s'", "it's"],
    ['A=b c', 'b c'],
    ['A=${B}/x', 'beta/x'],
    ['A=${C:-d}', 'd'],
    ['A=${C}', ''],
    ['A=a\r\nB=c', 'a'],
    ['#A=b\nA=c', 'c'],
    ['A=b\nA=c', 'c'],
  ])('reads %j as python-dotenv does', (text, value) => {
    expect(parseDotEnv(text, { B: 'beta' }).get('A')).toBe(value)
  })

  it('passes over what is no assignment', () => {
    expect([...parseDotEnv('A\n# B=1\n=c\n1=2\n', {})]).toEqual([])
  })
})

describe('the settings of the fetcher', () => {
  let folder = ''
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'opthub-runner-env-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true })
  })

  async function load(dotEnv: string, environment: Record<string, string>, yaml = '') {
    const [file, variables] = [join(folder, 'config.yml'), join(folder, '.env')]
    await writeFile(file, yaml, { mode: 0o600 })
    await writeFile(variables, dotEnv)
    return (await loadConfig({ file, required: true, environment, flags: {}, dotEnv: variables })).config
      .fetcher
  }

  it('come from .env, then the environment, then the file', async () => {
    const yaml = 'fetcher: {api_url: "http://file", timeout_job: 1, timeout_status: 1, username: file}'
    const environment = {
      API_URL: 'http://environment',
      TIMEOUT_STATUS: '3',
      OPTHUB_RUNNER_FETCHER__TIMEOUT_JOB: '9',
    }
    expect(await load('API_URL=http://dot.env\nTIMEOUT_STATUS=\n', environment, yaml)).toMatchObject({
      api_url: 'http://dot.env',
      timeout_job: 9,
      timeout_status: 3,
      username: 'file',
    })
  })

  it('have the defaults of the Python fetcher', async () => {
    expect(await load('', {})).toEqual({
      timeout_job: 10,
      timeout_status: 10,
      give_up_after: 300,
      groups: [],
    })
  })

  it('take a USERNAME of the desktop only where the password stands there too', async () => {
    expect((await load('', { USERNAME: 'desk' }, 'fetcher: {username: file, password: x}')).username).toBe(
      'file',
    )
    expect((await load('PASSWORD=secret', { USERNAME: 'desk' })).username).toBe('desk')
    expect((await load('USERNAME=me\nPASSWORD=secret', { USERNAME: 'desk' })).username).toBe('me')
  })

  it('say where a mistake stands, and show no secret', async () => {
    await expect(load('TIMEOUT_JOB=soon', {})).rejects.toThrow(/\.env: fetcher\.timeout_job must be seconds/)
    await expect(load('', { API_URL: 'nowhere' })).rejects.toThrow(/API_URL: fetcher\.api_url must be a URL/)
    await expect(load('PASSWORD="a\\nb"', {})).rejects.not.toThrow(/a\nb/)
  })

  it('find Cognito where other programs of AWS do', async () => {
    const environment = { AWS_ENDPOINT_URL: 'http://general' }
    expect((await load('', environment)).cognito_url).toBe('http://general')
    expect((await load('', environment, 'fetcher: {cognito_url: "http://own"}')).cognito_url).toBe(
      'http://own',
    )
    const special = { ...environment, AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER: 'http://special' }
    expect((await load('', special)).cognito_url).toBe('http://special')
  })

  it('can hold references to secrets', async () => {
    expect((await load('', { MINE: 's3cret' }, 'fetcher: {password: env:MINE}')).password).toBe('s3cret')
  })
})
