import { appendFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLogger } from '../../src/core/log.ts'
import { openEmbedded, type Embedded } from '../../src/embedded/index.ts'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { awsSettings, toYaml } from '../support/aws-settings.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage, hasPython } from '../support/images.ts'
import { OptHubStandIn } from '../support/opthub-stand-in.ts'
import { Workplace } from '../support/run-bin.ts'
import { runInTerminal, type Outcome, type Step } from '../support/terminal-run.ts'

const BIN = resolve(import.meta.dirname, '../../bin/opthub-runner.js')
const IMAGE = 'opthub-runner-test/e2e-login:1'
const MATCH = '11111111-2222-3333-4444-555555555555'
const PASSWORD = 'correct horse'
const NOTE = "Note: Make sure to authenticate using the competition administrator's account."

const atTerminal = describe.skipIf(!(await hasPython()))

let engine: Engine | undefined
let optHub: OptHubStandIn
let place: Workplace
let embedded: Embedded

beforeAll(async () => {
  engine = await requireEngine()
  if (engine !== undefined)
    await buildShellImage(engine, IMAGE, `read -r l; echo '{"objective": 1, "score": 2}'`)
  optHub = await OptHubStandIn.start()
  optHub.addMatch(MATCH, { problem: { dockerImage: IMAGE }, indicator: { dockerImage: IMAGE } })
  place = await Workplace.create()
  const dataDir = join(place.folder, 'aws')
  embedded = await openEmbedded({ dataDir, log: createLogger(() => undefined) })
  await appendFile(
    join(place.folder, 'config.yml'),
    toYaml({ ...awsSettings(embedded.info), wait_time: 1, log_level: 'DEBUG' }) + optHub.config,
  )
}, 60_000)

afterAll(async () => {
  await embedded.close()
  await place[Symbol.asyncDispose]()
  await optHub[Symbol.asyncDispose]()
  engine?.close()
})

/** Runs the built program in a terminal of its own. */
async function atKeyboard(args: readonly string[], steps: readonly Step[], more = {}): Promise<Outcome> {
  const environment = {
    ...process.env,
    OPTHUB_RUNNER_HOME: join(place.folder, 'home'),
    NO_COLOR: '1',
    // What runs the tests is no person, but these programs must not know.
    CI: '',
    ...more,
  }
  return await runInTerminal(steps, [process.execPath, BIN, ...args], { cwd: place.folder, environment })
}

const KINDS = ['evaluator', 'scorer']

atTerminal.each(KINDS)('the prompts of the %s', (kind) => {
  it('come in the old order, hide the password, and lead to work that a Ctrl-C ends', async (test) => {
    if (engine === undefined) return test.skip()
    const { screen, code, restored } = await atKeyboard(
      [kind],
      [
        { wait: 'Process Name: ' },
        { type: `my ${kind}\r` },
        { wait: `${NOTE}\n`.replaceAll('\n', '\r\n') },
        { wait: 'Username: ' },
        { type: 'alice\r' },
        { wait: 'Password: ' },
        { type: `${PASSWORD}\r` },
        { wait: 'Ready' },
        { type: '\x03' },
      ],
    )
    expect(screen).toContain(`Process Name: my ${kind}\n${NOTE}\nUsername: alice\nPassword: \n`)
    expect(screen).toContain('Logged in to OptHub')
    expect(screen).toContain('Drained')
    expect(screen).not.toContain('horse')
    expect({ code, restored }).toEqual({ code: 0, restored: true })
  })

  it('take what was typed ahead, before the program has shown anything, and never show the password', async () => {
    // As the old Makefile types it, with nobody looking whether it is asked for.
    const { screen, code, restored } = await atKeyboard(
      [kind],
      [{ wait: null }, { type: `ahead\ralice\rnot the ${PASSWORD}\r` }],
    )
    expect(screen).toContain(`Process Name: ahead\n${NOTE}\nUsername: alice\nPassword: \n`)
    expect(screen).toContain(
      'Authentication failed. Please verify that your username and password are correct.',
    )
    expect(screen).not.toContain('horse')
    expect({ code, restored }).toEqual({ code: 1, restored: true })
  })

  it('take what was typed ahead when the names were given', async () => {
    const { screen, code, restored } = await atKeyboard(
      [kind, '--process-name', 'given', '--username', 'alice'],
      [{ wait: null }, { type: `not the ${PASSWORD}\r` }],
    )
    expect(screen).toContain(`${NOTE}\nPassword: \n`)
    expect(screen).not.toContain('horse')
    expect({ code, restored }).toEqual({ code: 1, restored: true })
  })

  it.each([
    ['Process Name: ', []],
    ['Username: ', ['name\r']],
    ['Password: ', ['name\r', 'alice\r']],
  ])('end at Ctrl-C and at Ctrl-D when they ask for "%s"', async (prompt, before) => {
    const asked = optHub.requests.length
    for (const [key, expected, said] of [
      ['\x03', 130, ''],
      ['\x04', 2, ' is missing'],
    ] as const) {
      const typed = before.map((type) => ({ type }))
      const { screen, code, restored } = await atKeyboard([kind], [...typed, { wait: prompt }, { type: key }])
      expect({ code, restored }).toEqual({ code: expected, restored: true })
      expect(screen).toContain(said)
    }
    expect(optHub.requests).toHaveLength(asked)
  })

  it('ask again for what can be no name', async () => {
    const { screen, code } = await atKeyboard(
      [kind],
      [
        { wait: 'Process Name: ' },
        { type: '\r' },
        { wait: 'must not be empty' },
        { wait: 'Process Name: ' },
        { type: `${'x'.repeat(129)}\r` },
        { wait: '1 to 128 characters' },
        { type: '\x03' },
      ],
    )
    expect(screen.match(/Process Name: /g)?.length).toBeGreaterThanOrEqual(3)
    expect(code).toBe(130)
  })
})

describe.each(KINDS)('the %s without a terminal', (kind) => {
  it.each([
    [[], {}, '--process-name or OPTHUB_PROCESS_NAME'],
    [['--process-name', 'p'], {}, '--username or OPTHUB_USERNAME'],
    [['--username', 'alice'], { OPTHUB_PROCESS_NAME: 'p' }, '--password-stdin or OPTHUB_PASSWORD'],
    [
      ['--process-name', 'p', '--username', 'alice', '--password-stdin'],
      {},
      'standard input holds no password',
    ],
  ])('names the flag of what is missing: %j', async (args, environment, named) => {
    const run = place.start([kind, ...args], environment)
    expect(await run.ended).toBe(2)
    expect(run.stderr()).toContain(named)
    expect(run.stdout()).toBe('')
  })

  it('says a wrong password in plain words', async () => {
    const given = { OPTHUB_PROCESS_NAME: 'p', OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: 'not the horse' }
    const run = place.start([kind], given)
    expect(await run.ended).toBe(1)
    expect(run.stderr()).toContain('Please verify that your username and password are correct.')
    expect(run.stderr()).not.toContain('horse')
  })

  it('works with everything given by the environment', async (test) => {
    if (engine === undefined) return test.skip()
    const given = { OPTHUB_PROCESS_NAME: 'p', OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: PASSWORD }
    const run = place.start([kind, '--drain-queue'], given)
    expect(await run.ended).toBe(0)
    expect(run.stderr()).toContain('Logged in to OptHub')
  })
})
