import { appendFile, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { openEmbedded, type EmbeddedInfo } from '../../src/embedded/index.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { awsSettings, toYaml } from '../support/aws-settings.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage } from '../support/images.ts'
import { LocalClients } from '../support/local-clients.ts'
import { OptHubStandIn } from '../support/opthub-stand-in.ts'
import { Workplace } from '../support/run-bin.ts'

const IMAGE = 'opthub-runner-test/e2e-opthub:1'
const GOOD = '11111111-2222-3333-4444-555555555555'
const PARKED = '22222222-2222-3333-4444-555555555555'
const PASSWORD = 'correct horse'
const PRIVATE = 'private-value-of-the-problem'

/** Fails with its private value in every place where an image can put it. */
const PROBLEM = `read -r line
echo "stderr says $SECRET" >&2
case "$line" in
  *tell*) printf '{"objective": null, "error": "the secret is %s"}' "$SECRET" ;;
  *crash*) echo "half a {result with $SECRET"; exit 1 ;;
  *) printf '{"objective": %s, "info": {"public": "%s"}}' "$1" "$PUBLIC" ;;
esac
`

let engine: Engine | undefined

beforeAll(async () => {
  engine = await requireEngine()
  if (engine !== undefined) await buildShellImage(engine, IMAGE, PROBLEM)
})

afterAll(() => {
  engine?.close()
})

/** A config file of the Python runner: its keys, its order, its spellings, and what an admin has noted beside them. */
function pythonConfig(info: EmbeddedInfo): string {
  return `# OptHub Runner
interval: 2
timeout: 43200 # seconds; half a day
rm: True
# rm: False # to look at the logs
log_level: "DEBUG"
force: False

# SQS
evaluator_queue_url: ${info.queues.evaluator}
scorer_queue_url: ${info.queues.scorer}
# the keys of the runner, not of the administrator
access_key_id: ${info.accessKeyId}
secret_access_key: ${info.secretAccessKey} # never commit
region_name: ${info.region}

# DynamoDB
table_name: ${info.table}
`
}

/** What leads that file, as it is, to this machine. */
function toThisMachine(info: EmbeddedInfo, optHub: OptHubStandIn): Record<string, string> {
  const { apiUrl, cognitoUrl, userPoolId, clientId } = optHub.endpoints
  return {
    AWS_ENDPOINT_URL: info.endpoints.sqs,
    OPTHUB_RUNNER_WAIT_TIME: '2',
    OPTHUB_RUNNER_OPTHUB__API_URL: apiUrl,
    OPTHUB_RUNNER_OPTHUB__COGNITO_URL: cognitoUrl,
    OPTHUB_RUNNER_OPTHUB__USER_POOL_ID: userPoolId,
    OPTHUB_RUNNER_OPTHUB__CLIENT_ID: clientId,
  }
}

async function allFiles(folder: string): Promise<string> {
  let text = ''
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name)
    if ((await stat(path)).isFile()) text += `\n${path}\n${await readFile(path, 'latin1')}`
  }
  return text
}

describe('matches of OptHub', () => {
  it('are judged with the config file of the Python runner; nothing secret is ever seen', async (test) => {
    if (engine === undefined) return test.skip()
    await using optHub = await OptHubStandIn.start()
    const environments = {
      problemPublicEnvironments: [
        { key: 'PUBLIC', value: 'seen' },
        { key: 'SECRET', value: 'overridden' },
      ],
      problemPrivateEnvironments: [{ key: 'SECRET', value: PRIVATE }],
    }
    optHub.addMatch(GOOD, { problem: { dockerImage: IMAGE }, ...environments })
    optHub.addMatch(PARKED, {
      problem: { dockerImage: IMAGE },
      problemPrivateEnvironments: [{ key: 'SECRET', value: null }],
    })
    await using place = await Workplace.create()
    const local = place.start(['local', '--json'])
    await expect.poll(() => local.stdout(), { timeout: 30_000 }).toContain('\n')
    const clients = new LocalClients(JSON.parse(local.stdout()) as EmbeddedInfo)
    await writeFile(join(place.folder, 'config.yml'), pythonConfig(clients.info))

    const evaluations = (match: string): string => `Evaluations#Match#${match}#Team#1`
    for (const [index, what] of ['fine', 'tell', 'crash'].entries()) {
      await clients.putSolution(GOOD, 'Team#1', String(index + 1).padStart(5, '0'), { S: what })
    }
    await clients.putSolution(PARKED, 'Team#1', '00001', { S: 'fine' })

    const account = {
      OPTHUB_PROCESS_NAME: 'old name',
      OPTHUB_USERNAME: 'alice',
      OPTHUB_PASSWORD: PASSWORD,
      OPTHUB_COMMAND: '/bin/sh /main.sh 1.5',
      ...toThisMachine(clients.info, optHub),
    }
    const run = place.start(['evaluator', '--json'], account)
    for (const trial of ['00001', '00002', '00003']) {
      await expect
        .poll(() => clients.get(evaluations(GOOD), trial), { timeout: 60_000, interval: 200 })
        .toBeDefined()
    }
    const titles = await readFile(`/proc/${String(run.child.pid)}/cmdline`, 'latin1').catch(() => '')
    expect(await clients.get(evaluations(GOOD), 'Success#00001')).toMatchObject({
      Objective: { N: '1.5' },
      Info: { M: { public: { S: 'seen' } } },
    })
    expect((await clients.get(evaluations(GOOD), 'Failed#00002'))?.['ErrorMessage']?.S).toBe(
      'the secret is ***',
    )
    // A parked match is said once, costs nothing, and stops nobody else.
    expect(await clients.partition(evaluations(PARKED))).toEqual([])
    expect(await clients.depth(clients.info.queues.evaluator)).toEqual({ waiting: 0, inFlight: 1 })
    const parked = run.records().filter((record) => String(record['msg']).startsWith('Match parked'))
    expect(parked).toHaveLength(1)
    expect(JSON.stringify(parked)).toContain('Please check your permissions')

    const status = await place.run(['status', '--json'])
    expect(status).toContain('old name')
    await place.run(['stop', 'old name'])
    expect(await run.ended).toBe(0)
    expect(await clients.depth(clients.info.queues.evaluator)).toEqual({ waiting: 1, inFlight: 0 })

    const items = JSON.stringify([
      ...(await clients.partition(evaluations(GOOD))),
      ...(await clients.partition(evaluations(PARKED))),
    ])
    const home = (await allFiles(join(place.folder, 'home'))).replaceAll(/embedded\.json\n[^\n]*/g, '')
    const token = String(optHub.requests.find((request) => request.what === 'getMatch')?.authorization).slice(
      7,
    )
    expect(token.length).toBeGreaterThan(100)
    const seen = { log: run.stderr() + run.stdout(), items, home, titles, status }
    for (const [where, text] of Object.entries(seen)) {
      for (const secret of [PASSWORD, PRIVATE, token, 'refresh-', clients.info.secretAccessKey]) {
        expect(text.includes(secret), `${secret} in ${where}`).toBe(false)
      }
    }
    clients.close()
  })

  it('are none where only some stand in the config and nobody is logged in; the queue is drained all the same', async (test) => {
    if (engine === undefined) return test.skip()
    await using place = await Workplace.create()
    const dataDir = join(place.folder, 'aws')
    const embedded = await openEmbedded({ dataDir, log: createLogger(() => undefined) })
    const clients = new LocalClients(embedded.info)
    const matches = { [GOOD]: { problem: { image: IMAGE, command: ['/bin/sh', '/main.sh', '1'] } } }
    const settings = {
      ...awsSettings(embedded.info),
      wait_time: 1,
      interval: 0,
      pull_policy: 'never',
      matches,
    }
    await writeFile(join(place.folder, 'config.yml'), toYaml(settings))
    for (const match of [PARKED, GOOD]) await clients.putSolution(match, 'Team#1', '00001', { S: 'fine' })
    const run = place.start(['evaluator', '--json', '--drain-queue'])
    expect(await run.ended).toBe(0)
    const reason = run.records().find(({ msg }) => String(msg).startsWith('Match parked'))?.['reason']
    expect(reason).toMatch(/`matches:` in the config file, or log in to OptHub by `opthub-runner login`/)
    expect(run.records().find(({ level }) => level === 'WARNING')).toMatchObject({ messages: 1 })
    expect(await clients.get(`Evaluations#Match#${GOOD}#Team#1`, 'Success#00001')).toBeDefined()
    // For whoever can judge it, at once.
    expect(await clients.depth(embedded.info.queues.evaluator)).toEqual({ waiting: 1, inFlight: 0 })
    clients.close()
    await embedded.close()
  })

  it('need a login: without a terminal the missing answer is named, a wrong password is said in plain words', async () => {
    await using optHub = await OptHubStandIn.start()
    await using place = await Workplace.create()
    await appendFile(
      join(place.folder, 'config.yml'),
      `evaluator_queue_url: http://127.0.0.1:1/q\ntable_name: opthub\nregion_name: us-east-1\n${optHub.config}`,
    )
    const unnamed = place.start(['evaluator'])
    expect(await unnamed.ended).toBe(2)
    expect(unnamed.stderr()).toMatch(/--process-name/)
    const wrong = place.start(['login'], { OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: 'not the password' })
    expect(await wrong.ended).toBe(1)
    expect(wrong.stderr()).toContain('Please verify that your username and password are correct.')
    expect(wrong.stderr()).not.toContain('not the password')
    await place.run(['login'], { OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: PASSWORD })
    expect(await place.run(['whoami'])).toContain('alice')
    await place.run(['logout'])
    expect(await place.start(['whoami']).ended).not.toBe(0)
  })
})
