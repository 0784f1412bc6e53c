import { CreateTableCommand } from '@aws-sdk/client-dynamodb'
import { CreateQueueCommand, GetQueueAttributesCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { examine } from '../../../src/cli/doctor/doctor.ts'
import type { CheckResult } from '../../../src/cli/doctor/finding.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { createLogger } from '../../../src/core/log.ts'
import { OptHubStandIn } from '../../support/opthub-stand-in.ts'
import { DoctorBench, ENGINE, expectFailure, failures, type Report } from './bench.ts'
import { Front } from './front.ts'

// Every finding of the doctor is provoked here or in test/docker, and the advice that comes with it is followed.

let bench: DoctorBench

beforeAll(async () => {
  bench = await DoctorBench.start()
})
afterAll(() => bench[Symbol.asyncDispose]())

/** The advice that comes with a finding. */
function adviceOf(report: Report, id: string): string {
  const result = report.of(id)
  if (result.status !== 'failed') throw new Error(`${id} has not failed: ${report.text}`)
  return result.fix
}

function expectCured(report: Report, id: string): void {
  expect(report.of(id)).toMatchObject({ status: 'ok' })
  expect(failures(report)).toEqual([])
}

/** The words behind a flag of a command, up to the next flag. */
function wordsOf(command: string, flag: string): string[] {
  const [, words = ''] = command.split(`${flag} `)
  return (words.split(' --')[0] ?? '').split('`')[0]?.split(' ') ?? []
}

/** `A=x,B=y` as an object. */
function pairs(words: string): Record<string, string> {
  return Object.fromEntries(words.split(',').map((pair) => pair.split('=') as [string, string]))
}

describe('Node.js', () => {
  test('too old, and another one', async () => {
    const config = configSchema.parse({ matches: { '*': { problem: { image: 'problem' } } } })
    async function under(nodeVersion: string): Promise<CheckResult | undefined> {
      for await (const result of examine({
        nodeVersion,
        environment: { DOCKER_HOST: `unix://${bench.engineSocket}` },
        dataDir: join(bench.home, 'node'),
        local: true,
        kind: 'evaluator',
        matchId: undefined,
        load: () => Promise.resolve({ config, warnings: [] }),
        endpointsOf: () => ({}) as never,
        log: createLogger(() => undefined),
      }))
        if (result.id === 'node') return result
      return undefined
    }
    const old = await under('20.18.3')
    expect(old).toMatchObject({ status: 'failed', detail: '20.18.3 is too old' })
    const advised = /Install Node\.js (\d+\.\d+) or newer/.exec(old?.status === 'failed' ? old.fix : '')?.[1]
    for (const version of [`${String(advised)}.0`, '22.1.0', process.versions.node])
      expect(await under(version)).toMatchObject({ status: 'ok' })
  })
})

describe('the config file', () => {
  test('none: `init` writes one', async () => {
    const file = join(bench.home, 'by-init.yml')
    const missing = await bench.examine(['-c', file, '--local', '--kind', 'evaluator'])
    expectFailure(missing, 'config', /does not exist/, /`opthub-runner init` writes a new file/)
    const answers = ['--local', '--kind', 'evaluator', '--problem-image', 'problem']
    expect(await bench.run(['init', '-c', file, ...answers])).toMatchObject({ code: 0 })
    expectCured(await bench.examine(['-c', file, '--local', '--kind', 'evaluator']), 'config')
  })

  test('mistakes: each is named with its place and what is right', async () => {
    const wrong = await bench.doctor({ config: { interval: 'soon', wait_tme: 3, limits: { memry: '1g' } } })
    expectFailure(wrong, 'config', /:\d+:\d+: interval must be seconds/, /Mend the config file/)
    expectFailure(wrong, 'config', /"memry" is unknown in limits \(did you mean "memory"\?\)/, /./)
    expectCured(
      await bench.doctor({ config: { interval: 2, wait_time: 3, limits: { memory: '1g' } } }),
      'config',
    )
  })

  test('readable by others: chmod', async () => {
    const file = await bench.writeConfig()
    await chmod(file, 0o644)
    const open = await bench.examine(['-c', file])
    const [, mode = '', path = ''] = /\(chmod (\d+) (\S+)\)/.exec(open.of('config').detail) ?? []
    expect(open.of('config').detail).toContain('may be read by other users')
    await chmod(path, Number.parseInt(mode, 8))
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect((await bench.examine(['-c', file])).of('config')).toMatchObject({
      status: 'ok',
      detail: 'no mistakes',
    })
  })

  test('not readable at all, or a folder', async () => {
    const folder = join(bench.home, 'folder.yml')
    await mkdir(folder)
    expectFailure(await bench.examine(['-c', folder]), 'config', /is a folder \(name the file itself\)/, /./)
    expectCured(await bench.examine(['-c', await bench.writeConfig()]), 'config')
  })

  test('keys that are missing', async () => {
    const wrong = await bench.doctor({
      config: { table_name: null, scorer_queue_url: null },
      argv: ['--kind', 'scorer'],
    })
    expectFailure(wrong, 'config', /table_name is missing/, /./)
    expectFailure(wrong, 'config', /scorer_queue_url is missing/, /./)
    expectCured(await bench.doctor({ argv: ['--kind', 'scorer'] }), 'config')
  })
})

describe('Docker', () => {
  test('not running: start it', async () => {
    const socket = join(bench.home, 'engine-1.sock')
    const none = await bench.doctor({ socket })
    expectFailure(none, 'docker', /Docker is not running/, /^Start Docker/)
    expect(await bench.serveEngine(ENGINE)).toBe(socket)
    expectCured(await bench.doctor({ socket }), 'docker')
  })

  test('elsewhere: DOCKER_HOST or docker.host', async () => {
    const wrong = await bench.doctor({ socket: '/nowhere.sock' })
    expect(adviceOf(wrong, 'docker')).toContain('set DOCKER_HOST or docker.host to where it listens')
    const host = `unix://${bench.engineSocket}`
    expectCured(await bench.doctor({ environment: { DOCKER_HOST: host } }), 'docker')
    expectCured(await bench.doctor({ socket: '/nowhere.sock', config: { docker: { host } } }), 'docker')
  })

  test('too old: a newer one', async () => {
    const serve = async (Version: string): Promise<string> =>
      await bench.serveEngine({ ...ENGINE, '/version': { Version, Os: 'linux', Arch: 'amd64' } })
    const old = await bench.doctor({ socket: await serve('20.04.3') })
    const [, advised = ''] = /Install Docker (\S+) or newer/.exec(adviceOf(old, 'docker')) ?? []
    expectCured(await bench.doctor({ socket: await serve(`${advised}.0`) }), 'docker')
  })
})

describe('images', () => {
  const image = 'registry.example/a/b:1'
  const path = encodeURIComponent(image.split('/').join('/')).replaceAll('%2F', '/')

  async function judged(
    answers: Record<string, unknown>,
    config: Record<string, unknown> = {},
  ): Promise<Report> {
    const matches = { '*': { problem: { image }, indicator: { image: 'indicator:1' } } }
    return await bench.doctor({
      socket: await bench.serveEngine({ ...ENGINE, ...answers }),
      config: { matches, ...config },
    })
  }
  const inRegistry = {
    [`/distribution/${path}/json`]: { Platforms: [{ os: 'linux', architecture: 'amd64' }] },
  }
  const here = { [`/images/${encodeURIComponent(image)}/json`]: { Os: 'linux', Architecture: 'amd64' } }

  test('not allowed: allowed_images', async () => {
    const config = { allowed_images: ['indicator'] }
    const wrong = await judged(here, config)
    expectFailure(wrong, `image:${image}`, /not among the allowed/, /Add it to allowed_images/)
    expectCured(await judged(here, { allowed_images: ['indicator', image] }), `image:${image}`)
  })

  test('never pulled and not here: build or load it, or pull', async () => {
    const wrong = await judged(inRegistry, { pull_policy: 'never' })
    expectFailure(wrong, `image:${image}`, /pull_policy is never/, /docker load/)
    expectCured(await judged({ ...inRegistry, ...here }, { pull_policy: 'never' }), `image:${image}`)
  })

  test('not there: push it, or bring it here', async () => {
    const wrong = await judged({
      [`/distribution/${path}/json`]: { status: 404, message: 'manifest unknown' },
    })
    expectFailure(
      wrong,
      `image:${image}`,
      /does not exist/,
      /push the image to its registry, or bring it here/,
    )
    expectCured(await judged(inRegistry), `image:${image}`)
    expectCured(await judged(here), `image:${image}`)
  })

  test('no name of an image: write it as said', async () => {
    const matches = (problem: string) => ({
      '*': { problem: { image: problem }, indicator: { image: 'indicator:1' } },
    })
    const wrong = await bench.doctor({ config: { matches: matches('problem:?') } })
    expectFailure(
      wrong,
      'image:problem:?',
      /not the name of an image/,
      /\[registry\/\]name\[:tag\], in small letters/,
    )
    expectCured(await bench.doctor({ config: { matches: matches('problem') } }), 'image:problem')
  })

  test('the wrong platform is asked for', async () => {
    const wrong = await judged(inRegistry, { docker: { platform: 'linux/arm64' } })
    expectFailure(wrong, `image:${image}`, /not for linux\/arm64/, /or change `platform` in the config file/)
    expectCured(await judged(inRegistry, { docker: { platform: 'linux/amd64' } }), `image:${image}`)
    expectCured(await judged(inRegistry), `image:${image}`)
  })

  test('a match without one', async () => {
    const wrong = await bench.doctor({ config: { matches: { '*': { problem: { image: 'problem' } } } } })
    expectFailure(wrong, 'match', /the scorer has nothing to run/, /Write `indicator: {image: …}` under it/)
    expect(adviceOf(wrong, 'match')).toContain('or check one kind alone by --kind')
    expectCured(await bench.doctor(), 'match')
    const alone = {
      config: { matches: { '*': { problem: { image: 'problem' } } } },
      argv: ['--kind', 'evaluator'],
    }
    expectCured(await bench.doctor(alone), 'match')
  })
})

describe('AWS', () => {
  test('keys', async () => {
    for (const [wrong, advice] of [
      [{ access_key_id: 'AKIAWRONG' }, /Check access_key_id/],
      [{ secret_access_key: 'wrong-secret-wrong-secret' }, /Check secret_access_key/],
      [{ access_key_id: null, secret_access_key: null }, /Check access_key_id|Check secret_access_key/],
    ] as const)
      expectFailure(await bench.doctor({ config: wrong }), 'credentials', /./, advice)
    expectCured(await bench.doctor(), 'credentials')
  })

  test('a queue that is not there', async () => {
    const url = `${bench.info.queues.scorer}-later`
    const wrong = await bench.doctor({ config: { scorer_queue_url: url } })
    expectFailure(wrong, 'queue:scorer', /does not exist/, /Check the queue URL/)
    await bench.sqs.send(new CreateQueueCommand({ QueueName: url.split('/').at(-1) ?? '' }))
    expect((await bench.doctor({ config: { scorer_queue_url: url } })).of('queue:scorer').status).toBe('ok')
    expectCured(await bench.doctor(), 'queue:scorer')
  })

  test('no dead-letter queue, and one that comes too soon: the command that is printed', async () => {
    const { sqs, info } = bench
    const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName: 'without' }))
    const { Attributes: dead } = await sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: info.deadLetterQueues.evaluator,
        AttributeNames: ['QueueArn'],
      }),
    )
    const config = { evaluator_queue_url: QueueUrl }
    /** As the aws command would. */
    async function follow(advice: string): Promise<void> {
      const [, command = ''] = /`(aws sqs set-queue-attributes [^`]*)`/.exec(advice) ?? []
      const [, json = ''] = /--attributes '(.*)'/.exec(command.replace('ARN', dead?.QueueArn ?? '')) ?? []
      const [url] = wordsOf(command, '--queue-url')
      const Attributes = JSON.parse(json) as Record<string, string>
      await sqs.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes }))
    }
    const none = await bench.doctor({ config })
    await follow(adviceOf(none, 'dead_letter:evaluator'))
    expectCured(await bench.doctor({ config }), 'dead_letter:evaluator')
    const policy = JSON.stringify({ deadLetterTargetArn: dead?.QueueArn, maxReceiveCount: '2' })
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { RedrivePolicy: policy } }))
    const early = await bench.doctor({ config })
    expect(early.of('dead_letter:evaluator').detail).toContain('after 2 receives')
    await follow(adviceOf(early, 'dead_letter:evaluator'))
    expectCured(await bench.doctor({ config }), 'dead_letter:evaluator')
  })

  test('rights that are lacking: those that are named', async () => {
    await using front = await Front.start(bench.info)
    const config = { endpoint_url: front.url }
    front.denied.add('GetQueueAttributes').add('ChangeMessageVisibility').add('GetItem').add('DescribeTable')
    const wrong = await bench.doctor({ config })
    expect(adviceOf(wrong, 'queue:evaluator')).toContain('sqs:ReceiveMessage')
    expect(adviceOf(wrong, 'table')).toContain('dynamodb:GetItem')
    front.denied.delete('ChangeMessageVisibility')
    front.denied.delete('GetItem')
    // The rights that the advice names are enough; more are not asked for.
    const cured = await bench.doctor({ config })
    expectCured(cured, 'queue:evaluator')
    expectCured(cured, 'table')
  })

  test('a table that is not there, or has other keys: the command that is printed', async () => {
    const { dynamodb } = bench
    const wrong = new CreateTableCommand({
      TableName: 'keyed-otherwise',
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    })
    await dynamodb.send(wrong)
    const config = { table_name: 'keyed-otherwise' }
    // A new table takes a moment until it can be asked.
    await expect
      .poll(async () => (await bench.doctor({ config })).of('table').detail)
      .toContain('has other keys')
    const advice = adviceOf(await bench.doctor({ config }), 'table')
    expect(advice).toContain('aws dynamodb create-table')
    const [mode] = wordsOf(advice, '--billing-mode')
    await dynamodb.send(
      new CreateTableCommand({
        TableName: 'as-advised',
        BillingMode: mode as 'PAY_PER_REQUEST',
        AttributeDefinitions: wordsOf(advice, '--attribute-definitions').map(pairs) as never,
        KeySchema: wordsOf(advice, '--key-schema').map(pairs) as never,
      }),
    )
    await expect
      .poll(async () => (await bench.doctor({ config: { table_name: 'as-advised' } })).of('table').status)
      .toBe('ok')
    const missing = await bench.doctor({ config: { table_name: 'as-advised-' } })
    expectFailure(missing, 'table', /There is no table/, /Check table_name/)
    expectCured(await bench.doctor({ config: { table_name: 'as-advised' } }), 'table')
  })

  test('a region whose name is misspelt', async () => {
    const ask = async (region_name: string): Promise<Report> =>
      await bench.doctor({
        config: {
          region_name,
          endpoint_url: { sqs: bench.info.endpoints.sqs },
          // A name that no machine knows, wherever the tests run.
          table_name: `arn:aws:dynamodb:${region_name}:123456789012:table/x`,
        },
      })
    const wrong = await ask('us-eats-1')
    expect(wrong.of('table').status).toBe('failed')
    expect(adviceOf(wrong, 'table')).toMatch(/Did you mean us-east-1\?|network/)
    expectCured(await bench.doctor({ config: { region_name: 'us-east-1' } }), 'table')
  })

  test('a clock that is off: set it', async () => {
    await using front = await Front.start(bench.info)
    front.shiftMs = -3_600_000
    const wrong = await bench.doctor({ config: { endpoint_url: front.url } })
    expect(adviceOf(wrong, 'clock')).toContain('Set the clock of this machine')
    front.shiftMs = 0
    expectCured(await bench.doctor({ config: { endpoint_url: front.url } }), 'clock')
  })
})

describe('OptHub', () => {
  const match = '11111111-2222-3333-4444-555555555555'

  function configOf(standIn: OptHubStandIn): Record<string, unknown> {
    const { apiUrl: api_url, cognitoUrl, userPoolId, clientId } = standIn.endpoints
    return {
      matches: {},
      opthub: { api_url, cognito_url: cognitoUrl, user_pool_id: userPoolId, client_id: clientId },
    }
  }

  /** Only the administrator sees the image. */
  function showTo(standIn: OptHubStandIn, administrator: string): void {
    standIn.fault = ({ what, authorization }) => {
      if (what !== 'getMatch') return undefined
      const [, payload = ''] = String(authorization).split('.')
      const { username } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { username: string }
      const dockerImage = username === administrator ? 'problem' : null
      const none = { problemPublicEnvironments: [], problemPrivateEnvironments: [] }
      return { status: 200, body: { data: { getMatch: { id: match, problem: { dockerImage }, ...none } } } }
    }
  }

  test('nobody is logged in, or as somebody else: `login`', async () => {
    await using standIn = await OptHubStandIn.start()
    standIn.users.set('admin', 'battery staple')
    showTo(standIn, 'admin')
    const settings = { config: configOf(standIn), argv: ['--match', match, '--kind', 'evaluator'] }
    const nobody = await bench.doctor(settings)
    expectFailure(nobody, 'login', /Nobody is logged in/, /Run `opthub-runner login`/)

    const file = await bench.writeConfig(settings.config)
    const login = async (name: string): Promise<void> => {
      const password = standIn.users.get(name) ?? ''
      const given = { OPTHUB_PASSWORD: password, DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nowhere' }
      expect(await bench.run(['login', '-c', file, '--username', name], given)).toMatchObject({ code: 0 })
    }
    await login('alice')
    const alice = await bench.doctor(settings)
    expect(alice.of('login').status).toBe('ok')
    expectFailure(
      alice,
      'match:opthub',
      /Please check your permissions/,
      /administrator's account: `opthub-runner login`/,
    )
    await login('admin')
    const admin = await bench.doctor(settings)
    expectCured(admin, 'login')
    expectCured(admin, 'match:opthub')

    standIn.endRefreshTokens()
    const ended = await bench.doctor(settings)
    expectFailure(ended, 'login', /The login of admin has ended/, /Run `opthub-runner login` again/)
    await login('admin')
    expectCured(await bench.doctor(settings), 'login')
    expect(await bench.run(['logout', '-c', file])).toMatchObject({ code: 0 })
  })

  test('a wrong password', async () => {
    await using standIn = await OptHubStandIn.start()
    const config = configOf(standIn)
    const environment = { OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: 'wrong' }
    const wrong = await bench.doctor({ config, environment })
    expectFailure(
      wrong,
      'login',
      /verify that your username and password are correct/,
      /administrator's account/,
    )
    expectCured(
      await bench.doctor({ config, environment: { ...environment, OPTHUB_PASSWORD: 'correct horse' } }),
      'login',
    )
  })

  test('a match that is unknown', async () => {
    await using standIn = await OptHubStandIn.start()
    const environment = { OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: 'correct horse' }
    const settings = {
      config: configOf(standIn),
      environment,
      argv: ['--match', match, '--kind', 'evaluator'],
    }
    expectFailure(await bench.doctor(settings), 'match:opthub', /not known to OptHub/, /Check the UUID/)
    standIn.addMatch(match, { problem: { dockerImage: 'problem' } })
    expectCured(await bench.doctor(settings), 'match:opthub')
  })

  test('OptHub out of reach', async () => {
    await using standIn = await OptHubStandIn.start()
    const environment = { OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: 'correct horse' }
    const config = configOf(standIn)
    standIn.fault = () => ({ status: 503, body: '' })
    expectFailure(
      await bench.doctor({ config, environment }),
      'login',
      /can not be reached/,
      /Check the network/,
    )
    standIn.fault = undefined
    expectCured(await bench.doctor({ config, environment }), 'login')
  })
})

test('advice is given with every failure, whatever its cause', async () => {
  const file = join(bench.home, 'all-wrong.yml')
  await writeFile(file, 'interval: x\nevaluator_queue_url: http://127.0.0.1:1/q\n')
  const report = await bench.examine(['-c', file], { DOCKER_HOST: 'unix:///nowhere.sock' })
  for (const result of report.checks) if (result.status === 'failed') expect(result.fix).not.toBe('')
})
