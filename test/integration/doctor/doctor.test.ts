import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { CreateTableCommand } from '@aws-sdk/client-dynamodb'
import type { SQSClient } from '@aws-sdk/client-sqs'
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs'
import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { CheckResult } from '../../../src/cli/doctor/finding.ts'
import { runChecks } from '../../../src/cli/doctor/finding.ts'
import { createLogger } from '../../../src/core/log.ts'
import type { EmbeddedInfo } from '../../../src/embedded/index.ts'
import { logIn } from '../../../src/matches/opthub/opthub.ts'
import { createLoginStore } from '../../../src/matches/opthub/token-store.ts'
import { runMain } from '../../support/fake-io.ts'
import { OptHubStandIn } from '../../support/opthub-stand-in.ts'
import { DoctorBench, ENGINE, expectFailure, failures, type Report, type Settings } from './bench.ts'
import { Front } from './front.ts'

let bench: DoctorBench
let home: string
let info: EmbeddedInfo
let sqs: SQSClient
let dynamodb: DynamoDBClient
let engineSocket: string

beforeAll(async () => {
  bench = await DoctorBench.start()
  ;({ home, info, sqs, dynamodb, engineSocket } = bench)
})
afterAll(() => bench[Symbol.asyncDispose]())

const doctor = (settings?: Settings): Promise<Report> => bench.doctor(settings)
const serveEngine = (answers: Record<string, unknown>): Promise<string> => bench.serveEngine(answers)

test('everything is right', async () => {
  const report = await doctor()
  expect(report).toMatchObject({ code: 0, ok: true })
  expect(report.checks.map(({ id, status }) => `${id} ${status}`)).toEqual([
    'node ok',
    'config ok',
    'docker ok',
    'disk ok',
    'gpu unchecked',
    'credentials ok',
    'clock ok',
    'queue:evaluator ok',
    'dead_letter:evaluator ok',
    'queue:scorer ok',
    'dead_letter:scorer ok',
    'table ok',
    'match ok',
    'image:problem ok',
    'image:indicator:1 ok',
    'login unchecked',
  ])
})

test('for people: a line for each, what to do, and the sum', async () => {
  const file = join(home, 'people.yml')
  await writeFile(file, 'matches: {"*": {problem: {image: problem}, indicator: {image: indicator:1}}}')
  const environment = { OPTHUB_RUNNER_HOME: join(home, 'data'), DOCKER_HOST: `unix://${engineSocket}` }
  const good = await runMain(['doctor', '--local', '-c', file], { environment })
  expect(good.stdout).toMatch(/^✔ Docker: Docker 24\.0\.7 at unix:.*, linux\/amd64$/m)
  expect(good.stdout).toMatch(/^– GPU toolkit: not checked, because/m)
  expect(good.stdout).toMatch(/^All is well\.$/m)
  expect(good.code).toBe(0)
  const bad = await runMain(['doctor', '-c', file], { environment })
  expect(bad.stdout).toMatch(/^✖ Config: .*evaluator_queue_url is missing/m)
  expect(bad.stdout).toMatch(/^ {4}fix: /m)
  expect(bad.stdout).toMatch(/^1 of \d+ checks failed\.$/m)
  expect(bad.code).toBe(1)
})

test('touches no message', async () => {
  await using front = await Front.start(info)
  const QueueUrl = info.queues.evaluator
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: '{}' }))
  const report = await doctor({ config: { endpoint_url: front.url } })
  expect(report.of('queue:evaluator').detail).toContain('1 waiting and 0 in flight')
  expect(new Set(front.actions)).toEqual(new Set(['GetQueueAttributes', 'GetItem', 'DescribeTable']))
  await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { MessageRetentionPeriod: '60' } }))
})

describe('config', () => {
  test('all mistakes, and the rest as far as it goes', async () => {
    const report = await doctor({ config: { interval: 'soon', wait_time: 99 } })
    expectFailure(report, 'config', /interval must be[^]*wait_time must be/, /config\.default\.yml/)
    expect(report.of('docker').status).toBe('ok')
    expect(report.of('aws')).toMatchObject({ status: 'unchecked' })
  })

  test('what is missing fails alone', async () => {
    const report = await doctor({ config: { table_name: null } })
    expectFailure(report, 'config', /table_name is missing/, /./)
    expect(failures(report)).toEqual(['config'])
    expect(report.of('table')).toMatchObject({ status: 'unchecked' })
    expect(report.of('queue:scorer').status).toBe('ok')
  })

  test('only what is set is checked, or what is asked for', async () => {
    const set = await doctor({ config: { scorer_queue_url: null } })
    expect(failures(set)).toEqual([])
    expect(set.checks.map(({ id }) => id)).not.toContain('queue:scorer')
    expect(set.checks.map(({ id }) => id)).not.toContain('image:indicator:1')
    const asked = await doctor({ config: { scorer_queue_url: null }, argv: ['--kind', 'scorer'] })
    expect(failures(asked)).toEqual(['config'])
  })

  test('doubtful settings are named', async () => {
    const report = await doctor({ config: { wait_tme: 1 } })
    expect(report.of('config')).toMatchObject({
      status: 'ok',
      detail: expect.stringContaining('wait_tme') as string,
    })
  })

  test('none at all', async () => {
    const report = await doctor({ argv: ['-c', '/nonexistent/config.yml'] })
    expectFailure(report, 'config', /does not exist/, /opthub-runner init/)
  })
})

describe('credentials', () => {
  test('an unknown key', async () => {
    const report = await doctor({ config: { access_key_id: 'AKIAWRONG' } })
    expectFailure(report, 'credentials', /does not know these credentials/, /access_key_id/)
    expect(failures(report)).toEqual(['credentials'])
    expect(report.of('queue:evaluator')).toMatchObject({ status: 'unchecked' })
    expect(report.of('table')).toMatchObject({ status: 'unchecked' })
    expect(report.of('clock').status).toBe('ok')
  })

  test('a wrong secret', async () => {
    const report = await doctor({ config: { secret_access_key: 'wrong-secret-wrong-secret' } })
    expectFailure(report, 'credentials', /refuses the signature/, /secret_access_key/)
    expect(failures(report)).toEqual(['credentials'])
    expect(report.text).not.toContain('wrong-secret')
  })

  test('none', async () => {
    const report = await doctor({
      config: { access_key_id: null, secret_access_key: null },
      environment: {},
    })
    // Whatever this machine has is not what these servers know.
    expect(failures(report)).toEqual(['credentials'])
  })
})

describe('clock', () => {
  test.each([
    ['behind', 3_600_000],
    ['ahead of', -3_600_000],
  ])('an hour %s', async (word, shiftMs) => {
    await using front = await Front.start(info)
    front.shiftMs = shiftMs
    const wrong = await doctor({ config: { endpoint_url: front.url } })
    expectFailure(wrong, 'clock', `60 minutes ${word} the server's`, 'set-ntp')
    expect(failures(wrong)).toEqual(['clock'])
    front.shiftMs = 0
    expect(failures(await doctor({ config: { endpoint_url: front.url } }))).toEqual([])
  })

  test('four minutes are said, and borne', async () => {
    await using front = await Front.start(info)
    front.shiftMs = 240_000
    const report = await doctor({ config: { endpoint_url: front.url } })
    expect(report.of('clock')).toMatchObject({ status: 'ok', detail: "4 minutes behind the server's" })
  })
})

describe('queue', () => {
  test('one that does not exist', async () => {
    const report = await doctor({ config: { evaluator_queue_url: `${info.queues.evaluator}x` } })
    expectFailure(report, 'queue:evaluator', /does not exist/, /queue URL/)
    expect(report.of('dead_letter:evaluator').status).toBe('unchecked')
    expect(failures(report)).toEqual(['queue:evaluator'])
  })

  test('a region that does not exist', async () => {
    const report = await doctor({
      config: {
        evaluator_queue_url: 'https://sqs.ap-northest-1.amazonaws.com/123456789012/x',
        region_name: 'ap-northest-1',
        endpoint_url: { dynamodb: info.endpoints.dynamodb },
      },
    })
    expect(report.of('queue:evaluator').status).toBe('failed')
    expect(report.of('table').status).toBe('ok')
  })

  test('no dead-letter queue, one that comes too soon, and the cure', async () => {
    const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName: 'bare' }))
    const config = { evaluator_queue_url: QueueUrl }
    const none = await doctor({ config })
    expectFailure(none, 'dead_letter:evaluator', /has none/, /set-queue-attributes/)
    expect(failures(none)).toEqual(['dead_letter:evaluator'])
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: info.deadLetterQueues.evaluator,
        AttributeNames: ['QueueArn'],
      }),
    )
    const redrive = async (count: number): Promise<void> => {
      const policy = { deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount: count }
      await sqs.send(
        new SetQueueAttributesCommand({ QueueUrl, Attributes: { RedrivePolicy: JSON.stringify(policy) } }),
      )
    }
    await redrive(3)
    expectFailure(await doctor({ config }), 'dead_letter:evaluator', /after 3 receives/, /to 10 or more/)
    await redrive(10)
    expect(failures(await doctor({ config }))).toEqual([])
  })

  test('keys with the rights of a runner and no more', async () => {
    await using front = await Front.start(info)
    front.denied.add('GetQueueAttributes').add('DescribeTable')
    const report = await doctor({ config: { endpoint_url: front.url } })
    expect(failures(report)).toEqual([])
    expect(report.of('queue:evaluator').detail).toContain('may be used')
    expect(report.of('dead_letter:evaluator').status).toBe('unchecked')
    expect(report.of('table').detail).toContain('may not describe it')
    const missing = await doctor({
      config: { endpoint_url: front.url, scorer_queue_url: `${info.queues.scorer}x` },
    })
    expectFailure(missing, 'queue:scorer', /does not exist/, /queue URL/)
  })

  test('keys with less', async () => {
    await using front = await Front.start(info)
    front.denied.add('GetQueueAttributes').add('ChangeMessageVisibility').add('GetItem')
    const report = await doctor({ config: { endpoint_url: front.url } })
    expectFailure(report, 'queue:evaluator', /may not use the queue/, /sqs:ReceiveMessage/)
    expectFailure(report, 'table', /may not use the table/, /dynamodb:GetItem/)
    expect(report.of('credentials').status).not.toBe('failed')
  })
})

describe('table', () => {
  async function createTable(TableName: string, hash: string, range?: string, type: 'S' | 'N' = 'S') {
    const names = [hash, ...(range === undefined ? [] : [range])]
    await dynamodb.send(
      new CreateTableCommand({
        TableName,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: names.map((AttributeName) => ({ AttributeName, AttributeType: type })),
        KeySchema: names.map((AttributeName, i) => ({
          AttributeName,
          KeyType: i === 0 ? 'HASH' : 'RANGE',
        })),
      }),
    )
  }

  test('one that does not exist', async () => {
    const report = await doctor({ config: { table_name: 'nowhere' } })
    expectFailure(report, 'table', /no table "nowhere"/, /table_name/)
    expect(failures(report)).toEqual(['table'])
  })

  test.each([
    ['partition-only', 'ID', undefined, 'S'],
    ['other-names', 'id', 'trial', 'S'],
    ['swapped', 'Trial', 'ID', 'S'],
    ['of-numbers', 'ID', 'Trial', 'N'],
  ] as const)('one with other keys: %s', async (name, hash, range, type) => {
    await createTable(name, hash, range, type)
    // A new table takes a moment until it can be asked.
    await expect
      .poll(async () => (await doctor({ config: { table_name: name } })).of('table'))
      .toMatchObject({
        status: 'failed',
        detail: expect.stringContaining(`The table "${name}" has other keys`) as string,
        fix: expect.stringContaining('aws dynamodb create-table') as string,
      })
  })

  test('the cure', async () => {
    await createTable('cured', 'ID', 'Trial')
    await expect.poll(async () => failures(await doctor({ config: { table_name: 'cured' } }))).toEqual([])
  })
})

describe('Docker', () => {
  test('none', async () => {
    const report = await doctor({ socket: join(home, 'nothing.sock') })
    expectFailure(report, 'docker', /Docker is not running/, /Start Docker/)
    expect(failures(report)).toEqual(['docker'])
    for (const id of ['disk', 'image:problem']) expect(report.of(id).status).toBe('unchecked')
  })

  test('one whose socket nobody listens on', async () => {
    const socket = await serveEngine({})
    bench.closeLastEngine()
    await writeFile(socket, '').catch(() => undefined)
    await chmod(socket, 0o600).catch(() => undefined)
    expectFailure(await doctor({ socket }), 'docker', /Docker is not running/, /Start Docker/)
  })

  test.each([
    ['Docker 19.03.15 .* too old', { Version: '19.03.15', Os: 'linux', Arch: 'amd64' }, /20\.10 or newer/],
    [
      'Podman 3.4.4 .* too old',
      { Version: '3.4.4', Os: 'linux', Arch: 'amd64', Components: [{ Name: 'Podman Engine' }] },
      /4\.0 or newer/,
    ],
    ['no Linux containers', { Version: '24.0.7', Os: 'windows', Arch: 'amd64' }, /Linux containers/],
  ])('%s', async (detail, version, fix) => {
    const socket = await serveEngine({ ...ENGINE, '/version': version })
    expectFailure(await doctor({ socket }), 'docker', new RegExp(detail), fix)
  })

  test('one that breaks', async () => {
    const socket = await serveEngine({ ...ENGINE, '/info': { status: 500, message: 'broken' } })
    expectFailure(await doctor({ socket }), 'docker', /broken/, /docker info/)
  })

  test('a data root on another machine is not measured', async () => {
    const socket = await serveEngine({ ...ENGINE, '/info': { ...ENGINE['/info'], DockerRootDir: '/else' } })
    expect((await doctor({ socket })).of('disk')).toMatchObject({ status: 'unchecked' })
  })
})

describe('images', () => {
  const match = (problem: string) => ({
    matches: { '*': { problem: { image: problem }, indicator: { image: 'indicator:1' } } },
  })

  test.each([
    ['registry.example/denied:1', /refuses/, /docker login/],
    ['registry.example/gone:1', /does not exist/, /docker build/],
    ['registry.example/slow:1', /slow down/, /docker pull/],
    ['registry.example/foreign:1', /linux\/arm64.*exec format error/, /buildx build --platform linux\/amd64/],
    ['foreign:1', /linux\/s390x.*exec format error/, /buildx/],
    ['Not An Image'.replaceAll(' ', '?'), /not the name of an image/, /small letters/],
  ])('%s', async (image, detail, fix) => {
    const socket = await serveEngine({
      ...ENGINE,
      '/images/foreign%3A1/json': { Os: 'linux', Architecture: 's390x' },
      '/distribution/registry.example/denied%3A1/json': { status: 403, message: 'denied: no' },
      '/distribution/registry.example/gone%3A1/json': { status: 404, message: 'manifest unknown' },
      '/distribution/registry.example/slow%3A1/json': { status: 500, message: 'toomanyrequests: wait' },
      '/distribution/registry.example/foreign%3A1/json': {
        Platforms: [{ os: 'linux', architecture: 'arm64', variant: 'v8' }],
      },
    })
    const report = await doctor({ socket, config: match(image) })
    expectFailure(report, `image:${image}`, detail, fix)
    expect(failures(report)).toEqual([`image:${image}`])
  })

  test('what its registry has is fine, for one of several platforms', async () => {
    const image = 'registry.example/many:1'
    const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }))
    const socket = await serveEngine({
      ...ENGINE,
      '/distribution/registry.example/many%3A1/json': { Platforms: platforms },
    })
    expect((await doctor({ socket, config: match(image) })).of(`image:${image}`)).toMatchObject({
      status: 'ok',
      detail: 'in its registry for linux/amd64, linux/arm64 (problem of match *)',
    })
    const asked = await doctor({
      socket,
      config: { ...match(image), docker: { platform: 'linux/riscv64' } },
    })
    expectFailure(asked, `image:${image}`, /not for linux\/riscv64/, /buildx build --platform linux\/riscv64/)
    const never = await doctor({ socket, config: { ...match(image), pull_policy: 'never' } })
    expectFailure(never, `image:${image}`, /pull_policy is never/, /docker load/)
    const forbidden = await doctor({ socket, config: { ...match(image), allowed_images: ['indicator'] } })
    expectFailure(forbidden, `image:${image}`, /not among the allowed/, /allowed_images/)
  })

  test('Podman can not ask a registry', async () => {
    const socket = await serveEngine({
      ...ENGINE,
      '/distribution/registry.example/x%3A1/json': { status: 404, message: 'Not Found' },
    })
    const image = 'registry.example/x:1'
    expect((await doctor({ socket, config: match(image) })).of(`image:${image}`).status).toBe('unchecked')
  })

  test('a match without one', async () => {
    const config = { matches: { '*': { problem: { image: 'problem' } } } }
    const report = await doctor({ config })
    expectFailure(report, 'match', /the scorer has nothing to run for \*/, /indicator: \{image/)
    expect(failures(await doctor({ config, argv: ['--kind', 'evaluator'] }))).toEqual([])
  })
})

describe('OptHub', () => {
  const match = '11111111-2222-3333-4444-555555555555'

  async function doctorAt(
    standIn: OptHubStandIn,
    environment: Record<string, string> = {},
    ...argv: string[]
  ): Promise<Report> {
    const { apiUrl: api_url, cognitoUrl, userPoolId, clientId } = standIn.endpoints
    const opthub = { api_url, cognito_url: cognitoUrl, user_pool_id: userPoolId, client_id: clientId }
    return await doctor({ config: { matches: {}, opthub }, environment, argv })
  }
  const alice = { OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: 'correct horse' }

  test('nobody is logged in, and the cure', async () => {
    await using standIn = await OptHubStandIn.start()
    standIn.addMatch(match, { problem: { dockerImage: 'problem' } })
    const nobody = await doctorAt(standIn, {}, '--match', match)
    expectFailure(nobody, 'login', /Nobody is logged in/, /opthub-runner login/)
    expect(nobody.of('match:opthub').status).toBe('unchecked')
    expect(failures(nobody)).toEqual(['login'])
    const dataDir = join(home, 'data')
    const { endpoints } = standIn
    // The keyring of this machine is none of a test's business.
    const store = createLoginStore({ dataDir, endpoints, keyring: () => Promise.resolve(undefined) })
    const account = { username: 'alice', password: 'correct horse' }
    await logIn(account, { dataDir, endpoints, store }, AbortSignal.timeout(10_000))
    const somebody = await doctorAt(standIn, {}, '--match', match)
    expect(failures(somebody)).toEqual([])
    expect(somebody.of('login')).toMatchObject({ status: 'ok', detail: 'alice, as stored by `login`' })
    expect(somebody.of('match:opthub').status).toBe('ok')
    expect(somebody.of('image:indicator').status).toBe('ok')
    await rm(dataDir, { recursive: true })
  })

  test('as a service manager gives the account', async () => {
    await using standIn = await OptHubStandIn.start()
    const right = await doctorAt(standIn, alice)
    expect(failures(right)).toEqual([])
    expect(right.of('match:opthub').detail).toContain('--match <uuid>')
    const wrong = await doctorAt(standIn, { ...alice, OPTHUB_PASSWORD: 'wrong-password' })
    expectFailure(wrong, 'login', /Authentication failed/, /./)
    expect(wrong.text).not.toContain('wrong-password')
  })

  test('a match of another account', async () => {
    await using standIn = await OptHubStandIn.start()
    standIn.addMatch(match, { problem: { dockerImage: null } })
    const report = await doctorAt(standIn, alice, '--match', match)
    expectFailure(report, 'match:opthub', /./, /administrator's account/)
    expect(failures(report)).toEqual(['match:opthub'])
  })

  test('is not asked where the config or this machine has all matches', async () => {
    expect((await doctor()).of('login').detail).toContain('the matches stand in the config file')
    const local = await doctor({ argv: ['--local'], config: { matches: {} } })
    expect(local.of('login').status).toBe('unchecked')
    expectFailure(local, 'config', /matches is missing/, /./)
    const some = { [match]: { problem: { image: 'problem' }, indicator: { image: 'indicator:1' } } }
    expect((await doctor({ config: { matches: some } })).of('login').detail).toContain('nobody is logged in')
  })
})

describe('time', () => {
  test('a check that hangs ends, and holds up no other', async () => {
    const never = new Promise<never>(() => undefined)
    const checks = [
      { id: 'a', title: 'A', run: () => never },
      { id: 'b', title: 'B', run: () => Promise.reject(new Error('broken')) },
    ]
    const found: CheckResult[] = []
    for await (const result of runChecks(checks, 50)) found.push(result)
    expect(found).toMatchObject([
      { id: 'a', status: 'failed', detail: expect.stringContaining('no answer in time') as string },
      { id: 'b', status: 'failed', detail: 'broken' },
    ])
  })

  test('a server that hangs', async () => {
    const front = await Front.start(info)
    onTestFinished(() => front[Symbol.asyncDispose]())
    front.hangs = true
    const { examine } = await import('../../../src/cli/doctor/doctor.ts')
    const { configSchema } = await import('../../../src/config/schema.ts')
    const config = configSchema.parse({
      evaluator_queue_url: info.queues.evaluator,
      table_name: 'xyz',
      region_name: 'us-east-1',
      endpoint_url: front.url,
      access_key_id: 'AKIA',
      secret_access_key: 'secret',
      matches: { '*': { problem: { image: 'problem' } } },
    })
    const found = new Map<string, CheckResult>()
    for await (const result of examine({
      nodeVersion: '18.20.0',
      environment: { DOCKER_HOST: `unix://${engineSocket}` },
      dataDir: home,
      local: false,
      kind: 'evaluator',
      matchId: undefined,
      load: () => Promise.resolve({ config, warnings: [] }),
      endpointsOf: () => ({}) as never,
      log: createLogger(() => undefined),
      timeoutMs: 1000,
      leastFreeBytes: Number.MAX_SAFE_INTEGER,
    }))
      found.set(result.id, result)
    expect(found.get('queue:evaluator')).toMatchObject({ status: 'failed' })
    expect(found.get('queue:evaluator')?.detail).toContain('no answer in time')
    expect(found.get('table')?.detail).toContain('no answer in time')
    expect(found.get('node')).toMatchObject({ status: 'failed', detail: '18.20.0 is too old' })
    expect(found.get('disk')).toMatchObject({ status: 'failed' })
    expect(found.get('docker')).toMatchObject({ status: 'ok' })
  })
})
