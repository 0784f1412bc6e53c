import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { createLogger } from '../../../src/core/log.ts'
import { openEmbedded, type Embedded, type EmbeddedInfo } from '../../../src/embedded/index.ts'
import { runMain } from '../../support/fake-io.ts'

let home: string
let folder: string
let embedded: Embedded
let info: EmbeddedInfo
let engine: Server

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'opthub-init-'))
  embedded = await openEmbedded({ dataDir: join(home, 'aws'), log: createLogger(() => undefined) })
  info = embedded.info
  engine = createServer((request, response) => {
    const path = request.url ?? ''
    if (path === '/_ping') response.end('OK')
    else if (path === '/version') response.end('{"Version":"24.0.7","Os":"linux","Arch":"amd64"}')
    else if (path === '/info') response.end('{}')
    else if (/^\/images\/(problem|indicator)/.test(path))
      response.end('{"Os":"linux","Architecture":"amd64"}')
    else response.writeHead(404).end('{"message":"manifest unknown"}')
  }).listen(join(home, 'engine.sock'))
  await once(engine, 'listening')
})
afterAll(async () => {
  await embedded.close()
  engine.close()
  await rm(home, { recursive: true, force: true })
})
beforeEach(async () => {
  folder = await mkdtemp(join(home, 'work-'))
})

function init(argv: readonly string[], environment: Record<string, string> = {}) {
  return runMain(['init', '-c', join(folder, 'config.yml'), ...argv], {
    environment: {
      OPTHUB_RUNNER_HOME: join(home, 'data'),
      DOCKER_HOST: `unix://${join(home, 'engine.sock')}`,
      MY_SECRET: info.secretAccessKey,
      ...environment,
    },
  })
}

const written = () => readFile(join(folder, 'config.yml'), 'utf8')

/** Right answers, but for those that are left out or given again. */
function answers(changes: Record<string, string | undefined> = {}): string[] {
  const all: Record<string, string | undefined> = {
    '--evaluator-queue-url': info.queues.evaluator,
    '--scorer-queue-url': info.queues.scorer,
    '--table-name': info.table,
    '--region': info.region,
    '--endpoint-url': info.endpoints.sqs,
    '--access-key-id': info.accessKeyId,
    '--secret-access-key': 'env:MY_SECRET',
    '--problem-image': 'problem:1',
    '--indicator-image': 'indicator:1',
    ...changes,
  }
  return Object.entries(all).flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]))
}

test('writes a file that is right, for its owner alone', async () => {
  const { code, stdout, stderr } = await init(answers())
  expect(stdout).toBe(`Wrote ${join(folder, 'config.yml')}\n`)
  expect(stderr).toMatch(/^✔ Table: /m)
  expect(stderr).toMatch(/^ {2}opthub-runner doctor -c /m)
  expect(stderr).not.toContain(info.secretAccessKey)
  expect(code).toBe(0)
  const file = join(folder, 'config.yml')
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(await readdir(folder)).toEqual(['config.yml'])
  const checked = await runMain(['config', 'check', '--strict', '-c', file], {
    environment: { MY_SECRET: 'x' },
  })
  expect(checked).toMatchObject({ code: 0, stdout: `${file} is fine\n` })
  const { config } = await loadConfig({
    file,
    required: true,
    environment: { MY_SECRET: 'open sesame' },
    flags: {},
  })
  expect(config).toMatchObject({
    evaluator_queue_url: info.queues.evaluator,
    scorer_queue_url: info.queues.scorer,
    table_name: 'opthub',
    region_name: 'us-east-1',
    endpoint_url: { sqs: info.endpoints.sqs, dynamodb: info.endpoints.sqs },
    access_key_id: info.accessKeyId,
    secret_access_key: 'open sesame',
    matches: { '*': { problem: { image: 'problem:1' }, indicator: { image: 'indicator:1' } } },
  })
  expect(await written()).toMatch(/^table_name: opthub {2}# DynamoDB table/m)
})

test('for this machine, and for one kind', async () => {
  const { code, stderr } = await init(['--local', '--kind', 'evaluator', '--problem-image', 'problem:1'])
  expect(code).toBe(0)
  expect(stderr).toContain(`opthub-runner evaluator -c ${join(folder, 'config.yml')} --local`)
  expect(stderr).not.toContain('scorer')
  const text = await written()
  expect(text).toContain('--local')
  expect(text).not.toContain('indicator')
})

test("OptHub's matches need no image", async () => {
  const { code, stderr } = await init(
    answers({ '--problem-image': undefined, '--indicator-image': undefined }),
  )
  expect(code).toBe(0)
  expect(stderr).toContain('opthub-runner login')
  expect(await written()).not.toMatch(/^matches:/m)
})

describe('without a terminal', () => {
  test('every answer that is missing is named by its flag', async () => {
    const { code, stderr, stdout } = await init([])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('--evaluator-queue-url, --scorer-queue-url, --table-name, --region are missing')
    const one = await init(answers({ '--table-name': undefined }))
    expect(one.stderr).toContain('--table-name is missing')
    const images = await init(['--local'])
    expect(images.stderr).toContain('--problem-image, --indicator-image are missing')
    expect(await readdir(folder)).toEqual([])
  })

  test('the region may come from the URL of the queue, or from the environment', async () => {
    const url = 'https://sqs.ap-northeast-1.amazonaws.com/123456789012/x'
    const from = ['--evaluator-queue-url', url, '--table-name', 'opthub', '--no-check']
    expect((await init(from)).code).toBe(0)
    expect(await written()).toContain('region_name: ap-northeast-1')
    const other = ['--evaluator-queue-url', 'http://127.0.0.1:9324/1/x', '--table-name', 'opthub']
    const environment = { AWS_REGION: 'eu-west-3' }
    expect((await init([...other, '--no-check', '--force'], environment)).code).toBe(0)
    expect(await written()).toContain('region_name: eu-west-3')
  })

  test.each<[Record<string, string>, string]>([
    [{ '--evaluator-queue-url': 'queue' }, '--evaluator-queue-url must be the URL of a queue'],
    [{ '--table-name': 'a b' }, '--table-name must be the name of a DynamoDB table'],
    [{ '--region': 'Tokyo!' }, '--region must be the name of an AWS region'],
    [{ '--match': 'first' }, '--match must be the UUID of a match'],
    [{ '--problem-image': 'a b' }, '--problem-image must be the name of an image'],
    [{ '--endpoint-url': 'here' }, '--endpoint-url must be'],
    [{ '--secret-access-key': 'wJalrXUtnFEMI' }, '--secret-access-key takes env:NAME or file:PATH only'],
  ])('an answer that makes no sense: %j', async (change, message) => {
    const { code, stderr } = await init(answers(change))
    expect(code).toBe(2)
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('wJalrXUtnFEMI')
    expect(await readdir(folder)).toEqual([])
  })

  test.each<[string[], string]>([
    [['--local', '--table-name', 'opthub'], '--local and --table-name exclude each other'],
    [['--access-key-id', 'AKIA'], '--access-key-id is given, but --secret-access-key is not'],
    [['--secret-access-key', 'env:X'], '--secret-access-key is given, but --access-key-id is not'],
  ])('%j', async (argv, message) => {
    const { code, stderr } = await init(argv)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })
})

describe('what is not so is found, and nothing is written', () => {
  test.each<[Record<string, string>, string]>([
    [{ '--table-name': 'nowhere' }, 'There is no table "nowhere"'],
    [{ '--access-key-id': 'AKIAWRONG' }, 'does not know these credentials'],
    [{ '--secret-access-key': 'env:NOWHERE' }, 'names the variable NOWHERE'],
    [{ '--problem-image': 'gone:1' }, 'gone:1 does not exist'],
  ])('%j', async (change, message) => {
    const { code, stdout, stderr } = await init(answers(change))
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(message)
    expect(stderr).toContain('--no-check')
    expect(await readdir(folder)).toEqual([])
    expect((await init([...answers(change), '--no-check'])).code).toBe(0)
  })

  test('a queue', async () => {
    const { stderr, code } = await init(answers({ '--scorer-queue-url': `${info.queues.scorer}x` }))
    expect(code).toBe(1)
    expect(stderr).toContain('queue:scorer')
  })
})

describe('a file that is there', () => {
  test('stays, unless --force', async () => {
    const file = join(folder, 'config.yml')
    await writeFile(file, 'interval: 5\n', { mode: 0o644 })
    const { code, stderr } = await init(answers())
    expect(code).toBe(1)
    expect(stderr).toContain('is there already')
    expect(await written()).toBe('interval: 5\n')
    expect((await init([...answers(), '--force'])).code).toBe(0)
    expect(await written()).toContain('table_name: opthub')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  })

  test('or whose folder is not', async () => {
    const { code, stderr } = await runMain(
      [
        'init',
        '-c',
        join(folder, 'a/b.yml'),
        '--local',
        '--kind',
        'scorer',
        '--indicator-image',
        'i',
        '--no-check',
      ],
      { environment: {} },
    )
    expect(code).toBe(1)
    expect(stderr).toContain("can't be written")
    await mkdir(join(folder, 'a'))
    expect(await readdir(folder)).toEqual(['a'])
  })
})
