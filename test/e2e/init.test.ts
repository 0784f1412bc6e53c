import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { openEmbedded, type Embedded, type EmbeddedInfo } from '../../src/embedded/index.ts'
import { hasPython } from '../support/images.ts'
import { KEYS, Terminal } from '../support/terminal.ts'

const BIN = resolve(import.meta.dirname, '../../bin/opthub-runner.js')
const { enter, down, ctrlC } = KEYS

let home: string
let folder: string
let embedded: Embedded
let info: EmbeddedInfo

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'opthub-init-'))
  embedded = await openEmbedded({ dataDir: join(home, 'aws'), log: createLogger(() => undefined) })
  info = embedded.info
})
afterAll(async () => {
  await embedded.close()
  await rm(home, { recursive: true, force: true })
})
beforeEach(async () => {
  folder = await mkdtemp(join(home, 'work-'))
})

const atTerminal = test.skipIf(!(await hasPython()))

function start(...argv: string[]): Terminal {
  return Terminal.start([process.execPath, BIN, 'init', ...argv], {
    cwd: folder,
    environment: {
      OPTHUB_RUNNER_HOME: join(home, 'data'),
      AWS_ENDPOINT_URL: info.endpoints.sqs,
      // No engine: images are then not checked.
      DOCKER_HOST: `unix://${join(home, 'no-docker.sock')}`,
    },
  })
}

atTerminal('asks, finds what is wrong, asks again, and writes', { timeout: 120_000 }, async () => {
  await using terminal = start()
  await terminal.type('What will run here?', down + enter)
  await terminal.type('Where do jobs come from?', enter)
  await terminal.type("URL of the evaluator's SQS queue", `nonsense${enter}`)
  await terminal.type('must be the URL of a queue', `\u0015${info.queues.evaluator}${enter}`)
  await terminal.type('Name of the DynamoDB table', `wrong-table${enter}`)
  await terminal.type('AWS region', `us-east-1${enter}`)
  await terminal.type('Who gives the AWS credentials?', down + enter)
  await terminal.type('Access key id', `${info.accessKeyId}${enter}`)
  await terminal.type('Its secret', `${info.secretAccessKey}${enter}`)
  await terminal.type('Who knows the images', down + enter)
  await terminal.type('UUID of the match', enter)
  await terminal.type('Docker image of the problem', `my-problem:1${enter}`)
  await terminal.type('Something is not right', enter)
  expect(terminal.text).toContain('There is no table "wrong-table"')
  await terminal.type('Name of the DynamoDB table', `\u0015${info.table}${enter}`)
  await terminal.type('AWS region', enter)
  expect(await terminal.ended()).toBe(0)
  const file = join(folder, 'config.yml')
  const text = await readFile(file, 'utf8')
  expect(text).toContain('table_name: opthub  #')
  expect(text).toContain('image: my-problem:1')
  expect(text).toContain(info.secretAccessKey)
  expect(terminal.text).not.toContain(info.secretAccessKey)
  expect(terminal.text).toContain('Wrote config.yml')
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(await readdir(folder)).toEqual(['config.yml'])
})

atTerminal('Ctrl-C leaves nothing behind', { timeout: 60_000 }, async () => {
  await using terminal = start('--kind', 'evaluator')
  await terminal.type('Where do jobs come from?', enter)
  await terminal.type("URL of the evaluator's SQS queue", `http://x/1/q${ctrlC}`)
  expect(await terminal.ended()).toBe(130)
  expect(terminal.text).toContain('Nothing was written.')
  expect(await readdir(folder)).toEqual([])
})

atTerminal('a file that is there is asked about', { timeout: 60_000 }, async () => {
  await writeFile(join(folder, 'config.yml'), 'interval: 5\n')
  await using terminal = start('--local', '--kind', 'scorer', '--indicator-image', 'i:1', '--no-check')
  await terminal.type('Take its place?', enter)
  expect(await terminal.ended()).toBe(1)
  expect(await readFile(join(folder, 'config.yml'), 'utf8')).toBe('interval: 5\n')
  await using second = start('--local', '--kind', 'scorer', '--indicator-image', 'i:1', '--no-check')
  await second.type('Take its place?', down + enter)
  await second.type('UUID of the match', enter)
  expect(await second.ended()).toBe(0)
  expect(await readFile(join(folder, 'config.yml'), 'utf8')).toContain('image: i:1')
})
