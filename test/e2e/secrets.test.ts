import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { openEmbedded, type Embedded } from '../../src/embedded/index.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { awsSettings, toYaml } from '../support/aws-settings.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage } from '../support/images.ts'
import { LocalClients } from '../support/local-clients.ts'
import { cognitoError, OptHubStandIn } from '../support/opthub-stand-in.ts'
import { Workplace, type Run } from '../support/run-bin.ts'

const IMAGE = 'opthub-runner-test/e2e-secrets:1'
const BY_OPTHUB = '11111111-2222-3333-4444-555555555555'
const BY_CONFIG = '22222222-2222-3333-4444-555555555555'
const REFUSED = '33333333-2222-3333-4444-555555555555'

const SECRETS = {
  password: 'Tr0ub4dor & "drei"',
  privateValue: 'private\\value of the "problem" ä',
  privateLines: '-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----',
  configToken: 'token-of-the-config-file',
  registryPassword: 'registry-Passw0rt',
  sessionToken: 'session-token-0123456789abcdef',
  foreignKey: 'AKIAFOREIGNKEY777',
  foreignSecret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCY',
}

/** Puts its private values wherever an image can put them. */
const PROBLEM = `read -r line
printf 'stderr says %s and %s and %s\\n' "$VALUE" "$LINES_OF_IT" "$TOKEN" >&2
case "$line" in
  *error*) printf '{"error": "it is %s"}' "$TOKEN$QUOTED" ;;
  *object*) printf '{"error": {"is": "%s"}}' "$TOKEN$QUOTED" ;;
  *exit*) printf 'half a {result with %s' "$VALUE$TOKEN"; exit 3 ;;
  *syntax*) printf '{"objective": %s}' "$VALUE$TOKEN" ;;
  *schema*) printf '{"feasible": "%s"}' "$TOKEN$QUOTED" ;;
  *warning*) printf '{"objective": {"odd": "%s"}, "constraint": "%s"}' "$TOKEN$QUOTED" "$TOKEN$QUOTED" ;;
  *slow*) sleep 600 ;;
  *) printf '{"objective": 1, "info": {"kept": "%s"}}' "$TOKEN$QUOTED" ;;
esac
`
const FAILING = ['error', 'object', 'exit', 'syntax', 'schema']

let engine: Engine | undefined
let embedded: Embedded
let clients: LocalClients
let optHub: OptHubStandIn
let place: Workplace

beforeAll(async () => {
  engine = await requireEngine()
  if (engine !== undefined) await buildShellImage(engine, IMAGE, PROBLEM)
})
afterAll(() => {
  engine?.close()
})
beforeEach(async () => {
  optHub = await OptHubStandIn.start()
  optHub.users.set('alice', SECRETS.password)
  place = await Workplace.create()
  embedded = await openEmbedded({ dataDir: join(place.folder, 'aws'), log: createLogger(() => undefined) })
  clients = new LocalClients(embedded.info)
})
afterEach(async () => {
  clients.close()
  await embedded.close()
  await place[Symbol.asyncDispose]()
  await optHub[Symbol.asyncDispose]()
})

const ACCOUNT = {
  OPTHUB_PROCESS_NAME: 'keeper of secrets',
  OPTHUB_USERNAME: 'alice',
  OPTHUB_PASSWORD: SECRETS.password,
}

async function writeConfig(more: Record<string, unknown> = {}, raw = ''): Promise<void> {
  const settings = { log_level: 'DEBUG', wait_time: 1, ...awsSettings(embedded.info), ...more }
  await writeFile(join(place.folder, 'config.yml'), toYaml(settings) + optHub.config + raw)
}

/** A secret as it may be written: in full, as a JSON string, or the line of it that matters. */
function formsOf(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1)
  const ascii = json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return [secret, json, ascii, ...secret.split('\n')]
}

function expectNoSecret(texts: Record<string, string>, more: readonly string[] = []): void {
  const { secretAccessKey, accessKeyId } = embedded.info
  for (const secret of [...Object.values(SECRETS), secretAccessKey, accessKeyId, 'refresh-', ...more]) {
    for (const [where, text] of Object.entries(texts)) {
      for (const form of formsOf(secret))
        expect(text.includes(form), `${form} in ${where}:\n${text}`).toBe(false)
    }
  }
}

/** The command lines of all processes. */
async function processList(): Promise<string> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''))
  return (await Promise.all(lines)).join('\n').replaceAll('\0', ' ')
}

async function filesBelow(folder: string): Promise<string> {
  let text = ''
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name)
    if ((await stat(path)).isFile()) text += `\n${name}\n${await readFile(path, 'utf8')}`
  }
  return text
}

function saidBy(run: Run): string {
  return run.stdout() + run.stderr()
}

/** A server that repeats what it was sent, in the words of an error. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `127.0.0.1:${String((server.address() as AddressInfo).port)}`
}

describe('a secret is seen nowhere', () => {
  it('while jobs fail in all ways, and in what stays of them', async (test) => {
    if (engine === undefined) return test.skip()
    const registry = await serve(({ headers }, response) => {
      const { authorization = '' } = headers
      const [user = '', word = ''] = Buffer.from(authorization.slice(6), 'base64').toString().split(':')
      response.setHeader('WWW-Authenticate', 'Basic realm="test"')
      response.writeHead(401, { 'Content-Type': 'application/json' })
      const message = `${user} may not come in with ${word} (${authorization})`
      response.end(JSON.stringify({ errors: [{ code: 'DENIED', message }] }))
    })
    optHub.addMatch(BY_OPTHUB, {
      problem: { dockerImage: IMAGE },
      problemPrivateEnvironments: [
        { key: 'VALUE', value: SECRETS.privateValue },
        { key: 'LINES_OF_IT', value: SECRETS.privateLines },
        { key: 'TOKEN', value: SECRETS.configToken },
        { key: 'QUOTED', value: 'another-private-value' },
      ],
    })
    optHub.addMatch(REFUSED, { problem: { dockerImage: `${registry}/secret/image:1` } })
    const environment = { TOKEN: SECRETS.configToken, KEY_LINES: SECRETS.privateLines }
    await writeConfig({ matches: { [BY_CONFIG]: { problem: { image: IMAGE, environment } } } })
    const dockerConfig = join(place.folder, 'docker')
    await mkdir(dockerConfig)
    const auth = Buffer.from(`robot:${SECRETS.registryPassword}`).toString('base64')
    await writeFile(join(dockerConfig, 'config.json'), JSON.stringify({ auths: { [registry]: { auth } } }))

    const ways = [...FAILING, 'warning', 'fine']
    for (const match of [BY_OPTHUB, BY_CONFIG]) {
      for (const [index, way] of ways.entries())
        await clients.putSolution(match, 'Team#1', `0000${String(index + 1)}`, { S: way })
    }
    await clients.putSolution(REFUSED, 'Team#1', '00001', { S: 'fine' })
    const run = place.start(['evaluator', '--json'], { ...ACCOUNT, DOCKER_CONFIG: dockerConfig })
    const partition = (match: string): string => `Evaluations#Match#${match}#Team#1`
    for (const match of [BY_OPTHUB, BY_CONFIG]) {
      await expect
        .poll(async () => (await clients.partition(partition(match))).length, { timeout: 120_000 })
        .toBe(2 * ways.length)
    }
    await expect.poll(() => run.stderr(), { timeout: 60_000 }).toContain('Match parked')
    const processes = await processList()
    const status = await place.run(['status', '--json'])
    const failed = [BY_OPTHUB, BY_CONFIG].map(async (match) => {
      const items = await clients.partition(partition(match))
      return items.filter((item) => item['Status']?.S === 'Failed')
    })
    const items = (await Promise.all(failed)).flat()
    expect(items).toHaveLength(2 * FAILING.length)
    await place.run(['stop', 'keeper of secrets'])
    expect(await run.ended).toBe(0)
    const token = String(optHub.requests.find(({ what }) => what === 'getMatch')?.authorization).slice(7)
    // Results are never altered, whatever they hold.
    expect((await clients.get(partition(BY_CONFIG), 'Success#00007'))?.['Info']?.M?.['kept']?.S).toContain(
      SECRETS.configToken,
    )
    expectNoSecret(
      {
        log: saidBy(run),
        items: JSON.stringify(items),
        processes,
        status,
        files: await filesBelow(join(place.folder, 'home')),
      },
      [token, auth, 'another-private-value'],
    )
  })

  it('while a job works, and when it is cut off', async (test) => {
    if (engine === undefined) return test.skip()
    const environment = { TOKEN: SECRETS.configToken, KEY_LINES: SECRETS.privateLines }
    await writeConfig({
      matches: { '*': { problem: { image: IMAGE, environment, timeout: 1 } } },
      stop_grace: 0,
    })
    await clients.putSolution(BY_CONFIG, 'Team#1', '00001', { S: 'slow' })
    const run = place.start(['evaluator', '--json', '--once'])
    await expect.poll(() => run.stderr(), { timeout: 60_000 }).toContain('Job started')
    const processes = await processList()
    const files = await filesBelow(join(place.folder, 'home'))
    expect(await run.ended).toBe(0)
    const item = await clients.get(`Evaluations#Match#${BY_CONFIG}#Team#1`, 'Failed#00001')
    expect(item?.['ErrorMessage']?.S).toContain('did not end within')
    expectNoSecret({ log: saidBy(run), item: JSON.stringify(item), processes, files })
  })

  it.each(['evaluator', 'doctor', 'login'])('when servers repeat what they were sent: %s', async (verb) => {
    const echo = await serve((request, response) => {
      // As AWS does when a signature is wrong: what was signed, line by line.
      const headers = Object.entries(request.headers).map((entry) => entry.join(':'))
      const message = `The request signature we calculated does not match.\n${headers.join('\n')}`
      const [type] = request.headers['x-amz-target'] === undefined ? ['x'] : ['SignatureDoesNotMatch']
      response.writeHead(403, { 'Content-Type': 'application/x-amz-json-1.0' })
      response.end(JSON.stringify({ __type: type, message }))
    })
    optHub.fault = ({ what, body, authorization }) =>
      what === 'jwks'
        ? undefined
        : cognitoError(
            'InvalidParameterException',
            `Not ${JSON.stringify(body)} nor ${String(authorization)}`,
          )
    await writeConfig({ access_key_id: null, secret_access_key: null, endpoint_url: `http://${echo}` })
    const run = place.start([verb, ...(verb === 'doctor' ? ['--match', BY_OPTHUB] : [])], {
      ...ACCOUNT,
      OPTHUB_RUNNER_LOG_LEVEL: 'DEBUG',
      AWS_ACCESS_KEY_ID: SECRETS.foreignKey,
      AWS_SECRET_ACCESS_KEY: SECRETS.foreignSecret,
      AWS_SESSION_TOKEN: SECRETS.sessionToken,
    })
    expect(await run.ended).not.toBe(0)
    expect(saidBy(run)).toMatch(/InvalidParameterException|OptHub does not accept/)
    expectNoSecret({ output: saidBy(run) })
  })

  it('when keys are wrong, wherever they come from', async () => {
    const { foreignKey, foreignSecret } = SECRETS
    await writeFile(join(place.folder, 'secret.txt'), `${foreignSecret}\n`)
    const matches = { '*': { problem: { image: IMAGE } } }
    const ways: [Record<string, unknown>, Record<string, string>][] = [
      [{ access_key_id: foreignKey, secret_access_key: foreignSecret }, {}],
      [{ secret_access_key: foreignSecret }, {}],
      [{ access_key_id: 'env:MY_KEY', secret_access_key: 'file:secret.txt' }, { MY_KEY: foreignKey }],
      [{}, { OPTHUB_RUNNER_ACCESS_KEY_ID: foreignKey, OPTHUB_RUNNER_SECRET_ACCESS_KEY: foreignSecret }],
      [
        { access_key_id: null, secret_access_key: null },
        { AWS_ACCESS_KEY_ID: foreignKey, AWS_SECRET_ACCESS_KEY: foreignSecret },
      ],
    ]
    const verbs = [
      ['evaluator'],
      ['doctor'],
      ['config', 'check'],
      ['results', 'evaluator', '--match', BY_CONFIG],
    ]
    for (const [config, environment] of ways) {
      await writeConfig({ matches, ...config })
      for (const verb of verbs) {
        const run = place.start(verb, environment)
        if (verb[0] !== 'config') expect(await run.ended, saidBy(run)).not.toBe(0)
        await run.ended
        expectNoSecret({ [verb.join(' ')]: saidBy(run) })
      }
    }
  })

  it('when the config file has mistakes around it', async () => {
    const { foreignKey: key, foreignSecret: secret, configToken } = SECRETS
    for (const raw of [
      `access_key_id:${key}\n`,
      `secret_access_key:${secret}: x\n`,
      `secret_access_key: "${secret}\n`,
      `matches: {"*": {problem: {environment: {TOKEN:${configToken}}}}}\n`,
      `matches: "{TOKEN: ${configToken}}"\n`,
    ]) {
      await writeConfig({ access_key_id: null, secret_access_key: null }, raw)
      for (const verb of [
        ['config', 'check'],
        ['config', 'check', '--json', '--strict'],
        ['doctor'],
        ['scorer'],
      ]) {
        const run = place.start(verb, { OPTHUB_RUNNER_LOG_LEVEL: 'DEBUG' })
        await run.ended
        // The scorer would ask on, since what it lacks may be meant so.
        expect(saidBy(run)).toMatch(/config\.yml|Process Name/)
        expectNoSecret({ [verb.join(' ')]: saidBy(run) })
      }
    }
  })

  it('when it is typed where it does not belong', async () => {
    for (const args of [
      ['login', `--password=${SECRETS.password}`],
      ['evaluator', `--password=${SECRETS.password}`],
      [`--password=${SECRETS.password}`, 'login'],
      ['login', '--username', 'alice', SECRETS.password],
    ]) {
      const run = place.start(args)
      expect(await run.ended).toBe(2)
      expectNoSecret({ [args.join(' ')]: saidBy(run) })
    }
  })

  it('when the program crashes, or Node writes a report', async () => {
    const { foreignKey, foreignSecret, password } = SECRETS
    const crash = join(place.folder, 'crash.cjs')
    const message = JSON.stringify(`boom ${password} ${foreignSecret} ${foreignKey}`)
    await writeFile(
      crash,
      `setTimeout(() => { process.report.writeReport('${place.folder}/report.json'); throw new Error(${message}) }, 3000)`,
    )
    // It waits for an answer until then.
    const never = await serve(() => undefined)
    await writeConfig({
      access_key_id: foreignKey,
      secret_access_key: foreignSecret,
      endpoint_url: `http://${never}`,
    })
    const run = place.start(['scorer', '--log-level', 'DEBUG'], {
      ...ACCOUNT,
      DOCKER_HOST: `tcp://${never}`,
      NODE_OPTIONS: `--require ${crash}`,
      OPTHUB_RUNNER_SECRET_ACCESS_KEY: foreignSecret,
    })
    expect(await run.ended).toBe(1)
    expect(saidBy(run)).toContain('boom ***')
    const report = await readFile(join(place.folder, 'report.json'), 'utf8')
    expect(report).toContain('"commandLine"')
    expectNoSecret({ output: saidBy(run), report })
  })
})
