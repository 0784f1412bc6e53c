import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { ConfigError, formatProblem, type ConfigProblem } from '../../../src/config/problem.ts'

const SECRETS = { key: 'AKIAQX7RUZ4LJ5', secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCY', value: 'hunter2hunter3' }

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'opthub-leaks-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

/** All that loading says. */
async function saidOf(text: string, environment: Record<string, string> = {}): Promise<string> {
  const file = join(folder, 'config.yml')
  await writeFile(file, text)
  let problems: readonly ConfigProblem[]
  let also = ''
  try {
    problems = (await loadConfig({ file, required: true, environment, flags: {} })).warnings
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    problems = error.problems
    also = [error.what, error.why, error.hint, error.stack].join('\n')
  }
  return [...problems.map(formatProblem), JSON.stringify(problems), also].join('\n')
}

/** What of a secret, six characters or more, stands in a text. */
function leakIn(text: string): string | undefined {
  for (const secret of Object.values(SECRETS)) {
    for (let start = 0; start + 6 <= secret.length; start += 1) {
      const part = secret.slice(start, start + 6)
      if (text.includes(part)) return part
    }
  }
  return undefined
}

const { key, secret, value } = SECRETS
const match = (environment: string): string =>
  `matches:\n  "*":\n    problem:\n      image: p\n${environment}`

describe('what is said of settings holds no secret', () => {
  test.each([
    ['no blank behind the colon', `interval: 2\naccess_key_id:${key}\n`, 'config.yml:2'],
    ['and a further colon', `secret_access_key:${secret}: x`, 'secret_access_key…'],
    ['as in a shell', `secret_access_key=${secret}: 1`, 'secret_access_key…'],
    ['no blank in braces', match(`      environment: {TOKEN:${value}}`), 'TOKEN…'],
    ['the wrong sort of value', `secret_access_key: [${secret}]`, 'secret_access_key must be'],
    ['a list of keys', `access_key_id: {${key}: x}`, 'access_key_id must be'],
    ['several lines', `secret_access_key: |\n  ${secret}\n  ${secret}\n`, 'without control characters'],
    ['an anchor that is none', match(`      environment: {TOKEN: *${value}}`), 'into quotes'],
    [
      'a login that is a list',
      `docker: {registry_auth: {r.io: [${secret}]}}`,
      'docker.registry_auth.r.io must be',
    ],
    ['half a login', `docker: {registry_auth: {r.io: {password: ${secret}}}}`, 'neither a username'],
    [
      'a login too much',
      `docker: {registry_auth: {r.io: {token: ${secret}, username: ${value}}}}`,
      'neither',
    ],
    ['text for logins', `docker: {registry_auth: ${secret}}`, 'docker.registry_auth must be'],
    ['text for the engine', `docker: ${secret}`, 'docker must be'],
    ['a login that others may read', `docker: {registry_auth: {r.io: {token: ${secret}}}}`, 'chmod 600'],
    ['a tag that is none', match(`      environment: {TOKEN: !${value}}`), 'TOKEN'],
    ['a tag with an end', match(`      environment: {TOKEN: !${value}! x}`), 'in'],
    ['a sign that begins nothing', match(`      environment:\n        TOKEN: @${value}`), 'quotes'],
    ['a quote without an end', `secret_access_key: "${secret}\ninterval: 2\n`, 'quote'],
    ['an escape that is none', `secret_access_key: "\\q${secret}"`, 'single quotes'],
    ['a colon in the value', `secret_access_key: a: ${secret}`, 'quotes'],
    ['a word behind the value', `secret_access_key: "${secret}" ${secret}`, 'config.yml:1'],
    ['a directive', `%${secret}\ninterval: 2`, 'config.yml'],
    ['a block of text with a word', `secret_access_key: |${secret}\n  x`, 'config.yml:1'],
    ['the end of a list', `secret_access_key: ${secret}]\n]${secret}`, 'config.yml:2'],
    ['the wrong depth', `access_key_id: x\n   ${secret}: y`, 'config.yml:'],
    ['no map', match(`      environment: TOKEN=${value}`), 'environment must be'],
    ['a list', match(`      environment: [TOKEN=${value}]`), 'environment must be'],
    [
      'a match on one line',
      `matches: '{"*": {problem: {environment: {TOKEN: ${value}}}}}'`,
      'matches must be',
    ],
    ['a recipe on one line', `matches: {"*": {problem: "TOKEN=${value}"}}`, 'problem must be'],
    ['a variable that is none', `secret_access_key: env:${secret}`, 'names a variable'],
    ['twice', `access_key_id: ${key}\nsecret_access_key: ${secret}\nsecret_access_key: ${secret}\n`, 'twice'],
    ['a name that is misspelt', `secret_acess_key: ${secret}`, 'secret_access_key'],
  ])('%s', async (_, text, said) => {
    const found = await saidOf(text)
    expect(found).toContain(said)
    expect(leakIn(found)).toBeUndefined()
  })

  test('in variables', async () => {
    const found = await saidOf('interval: 2\n', {
      OPTHUB_RUNNER_SECRET_ACCESS_KEY: `${secret}\n${secret}`,
      OPTHUB_RUNNER_ACCESS_KEY_ID: `${key}\u0007`,
      OPTHUB_RUNNER_MATCHES: `{"*": {problem: {environment: {TOKEN: ${value}}}}`,
      OPTHUB_RUNNER_PASSWORD: value,
    })
    expect(found).toContain('OPTHUB_RUNNER_MATCHES: matches must be a map')
    expect(leakIn(found)).toBeUndefined()
  })

  test('with any slip of the pen', async () => {
    const text = `interval: 2\naccess_key_id: ${key}\nsecret_access_key: "${secret}"\n${match(
      `      environment:\n        TOKEN: ${value}\n        OTHER: '${value}'\n    indicator: {image: i, environment: {TOKEN: ${value}}}\n`,
    )}`
    const signs = Array.from(':,"\'{}[]!*&|>%@`-#= \t\n\\?~').concat([': ', ' #', '- ', '<<', '\n  '])
    let state = 12_345
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
      return Math.floor((state / 0x8000_0000) * below)
    }
    for (let n = 0; n < 500; n += 1) {
      let slipped = text
      for (let slips = 0; slips <= random(3); slips += 1) {
        const at = random(slipped.length)
        slipped = slipped.slice(0, at) + (signs[random(signs.length)] ?? '') + slipped.slice(at + random(3))
      }
      const found = await saidOf(slipped)
      expect(leakIn(found), `${slipped}\n${found}`).toBeUndefined()
    }
  })
})
