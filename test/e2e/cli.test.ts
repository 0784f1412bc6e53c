import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import type { EmbeddedInfo } from '../../src/embedded/index.ts'
import { Workplace } from '../support/run-bin.ts'

const BIN = resolve(import.meta.dirname, '../../bin')
const MATCH = '0f8fad5b-d9cb-469f-a165-70867728950e'
const SUBMIT = ['submit', 'evaluator', '--local', '--match', MATCH, '--participant', 'Team#1', '--variable']
const CONFIG = 'matches: {"*": {problem: {image: p}}}\n'
const run = promisify(execFile)

/** Runs one binary of the package. */
function bin(name: string, args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
  return run(process.execPath, [join(BIN, name), ...args], options)
}

describe('the binaries', () => {
  test('print version and help', async () => {
    expect((await bin('opthub-runner.js', ['--version'])).stdout).toBe(`${manifest.version}\n`)
    expect((await bin('opthub-runner.js', ['scorer', '--help'])).stdout).toContain(
      'Usage: opthub-runner scorer',
    )
  })

  test('the old name takes its options in front of the mode', async () => {
    await using place = await Workplace.create(CONFIG)
    const failed = bin('opthub-runner-start.js', ['-c', 'other.yml', 'scorer'], { cwd: place.folder })
    await expect(failed).rejects.toMatchObject({
      code: 78,
      stderr: expect.stringContaining('other.yml: does not exist') as string,
    })
  })

  test('every verb that is wrong ends with 2, wrong settings with 78', async () => {
    await using place = await Workplace.create('interval: soon\nlimits: {memory: 1x}\n')
    expect(await place.start(['evaluatr']).ended).toBe(2)
    const check = place.start(['config', 'check'])
    expect(await check.ended).toBe(78)
    expect(check.stderr()).toContain('config.yml:1:1: interval must be')
    expect(check.stderr()).toContain('config.yml:2:10: limits.memory must be')
    expect(check.stdout()).toBe('')
  })

  test('a config file that others may read is warned about before anything else', async () => {
    await using place = await Workplace.create('access_key_id: a\nsecret_access_key: b\nintervall: 1\n')
    await chmod(join(place.folder, 'config.yml'), 0o644)
    const check = place.start(['config', 'check'])
    expect(await check.ended).toBe(0)
    expect(check.stderr()).toContain('holds a secret and may be read by other users')
    expect(check.stderr()).toContain('did you mean "interval"?')
  })
})

describe('an engine or a server that is not there', () => {
  test('no Docker: what to do, exit code 69, no stack trace', async () => {
    await using place = await Workplace.create('matches: {"*": {problem: {image: p}}}\n')
    const evaluator = place.start(['evaluator', '--local'], {
      DOCKER_HOST: `unix://${join(place.folder, 'none.sock')}`,
    })
    expect(await evaluator.ended).toBe(69)
    expect(evaluator.stderr()).toMatch(/✖ Docker is not running/)
    expect(evaluator.stderr()).toContain('fix:  Start Docker')
    expect(evaluator.stderr()).not.toMatch(/^\s+at /m)
  })

  test('no server at endpoint_url: unavailable', async () => {
    const port = await unusedPort()
    await using place = await Workplace.create(
      `endpoint_url: http://127.0.0.1:${String(port)}\ntable_name: opthub\naccess_key_id: a\nsecret_access_key: b\n`,
    )
    const results = place.start(['results', 'scorer', '--match', MATCH])
    expect(await results.ended).toBe(69)
    expect(results.stderr()).toContain('ECONNREFUSED')
    expect(results.stderr()).not.toMatch(/^\s+at /m)
  })
})

describe('local', () => {
  test('prints one line of JSON once all of it answers, and serves others until a signal', async () => {
    await using place = await Workplace.create(CONFIG)
    const local = place.start(['local', '--json'])
    await expect.poll(() => local.stdout(), { timeout: 30_000 }).toContain('\n')
    const info = JSON.parse(local.stdout()) as EmbeddedInfo
    expect(Object.keys(info)).toEqual([
      'endpoints',
      'region',
      'accessKeyId',
      'secretAccessKey',
      'queues',
      'deadLetterQueues',
      'table',
      'bucket',
      'leaseTable',
    ])
    expect(Object.keys(info.queues)).toEqual(['evaluator', 'scorer', 'code-exec', 'inference'])
    expect(info.table).toBe('opthub')
    expect(await place.run([...SUBMIT, '[1]'])).toBe(`${MATCH}/Team#1/00001\n`)
    local.child.kill('SIGTERM')
    expect(await local.ended).toBe(0)
    // The data last: the next one goes on where this one ended.
    expect(await place.run([...SUBMIT, '[2]'])).toBe(`${MATCH}/Team#1/00002\n`)
  })

  test('prints exports that a shell can read', async () => {
    await using place = await Workplace.create(CONFIG)
    const local = place.start(['local'])
    await expect.poll(() => local.stdout().split('\n').length, { timeout: 30_000 }).toBe(8)
    const names = [
      'AWS_ENDPOINT_URL_SQS',
      'AWS_ENDPOINT_URL_DYNAMODB',
      'AWS_ENDPOINT_URL_S3',
      'AWS_ACCESS_KEY_ID',
      'AWS_SECRET_ACCESS_KEY',
      'AWS_REGION',
      'AWS_DEFAULT_REGION',
    ]
    const script = `${local.stdout()}\n${names.map((name) => `printf '%s\\n' "$${name}"`).join('\n')}`
    const { stdout } = await run('sh', ['-c', script], { env: {} })
    const values = stdout.trimEnd().split('\n')
    expect(values).toHaveLength(7)
    expect(values[0]).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    // With these alone the program itself finds the servers, without --local.
    const environment = Object.fromEntries(names.map((name, i) => [name, values[i] ?? '']))
    const results = place.start(['results', 'scorer', '--match', MATCH, '--json'], {
      ...environment,
      OPTHUB_RUNNER_TABLE_NAME: 'opthub',
    })
    expect(await results.ended).toBe(0)
    expect(results.stdout()).toBe('[]\n')
    local.child.kill('SIGINT')
    expect(await local.ended).toBe(0)
  })
})

describe('streams', () => {
  test('a reader that leaves early is no error', async () => {
    await using place = await Workplace.create(CONFIG)
    const child = spawn(process.execPath, [join(BIN, 'opthub-runner.js'), 'config', 'schema'], {
      cwd: place.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stderr = ''
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
    child.stdout.destroy()
    const [code] = (await once(child, 'close')) as [number]
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  test('a solution may be piped in', async () => {
    await using place = await Workplace.create(CONFIG)
    await writeFile(join(place.folder, 'x.json'), '[0.5, 1e22]')
    const command = `"$0" "$1" ${SUBMIT.map((word) => `'${word}'`).join(' ')} - < x.json`
    const { stdout } = await run('sh', ['-c', command, process.execPath, join(BIN, 'opthub-runner.js')], {
      cwd: place.folder,
      env: { ...process.env, OPTHUB_RUNNER_HOME: join(place.folder, 'home') },
    })
    expect(stdout).toBe(`${MATCH}/Team#1/00001\n`)
  })
})

test('the data folder is closed to others', async () => {
  await using place = await Workplace.create(CONFIG)
  await place.run([...SUBMIT, '[1]'])
  const { stdout } = await run('find', [join(place.folder, 'home'), '-perm', '/077'])
  expect(stdout).toBe('')
  expect(await readdir(join(place.folder, 'home'))).not.toEqual([])
})

test('bash completes verbs, second words and options', async () => {
  const { stdout: script } = await bin('opthub-runner.js', ['completion', 'bash'])
  const complete = async (...words: string[]) => {
    const line = words.map((word) => `'${word}'`).join(' ')
    const ask = `${script}\nCOMP_WORDS=(opthub-runner ${line}); COMP_CWORD=${String(words.length)}; _opthub_runner; echo "\${COMPREPLY[@]}"`
    return (await run('bash', ['-c', ask])).stdout.trim()
  }
  expect(await complete('eva')).toBe('evaluator')
  expect(await complete('results', 'sc')).toBe('scorer')
  expect(await complete('results', 'scorer', '--dir')).toBe('--direction')
  expect(await complete('evaluator', '--dr')).toBe('--drain-queue')
  expect(await complete('config', 'check', '--st')).toBe('--strict')
  expect(await complete('completion', 'z')).toBe('zsh')
  expect(await complete('help', 'su')).toBe('submit')
})

async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}
