import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { compileChild } from '../../support/compile-child.ts'
import { OptHubStandIn } from '../../support/opthub-stand-in.ts'
import { runInTerminal, type Outcome, type Step } from '../../support/terminal-run.ts'

const FOLDERS = ['cli', 'config', 'core', 'matches', 'net']
const hasPython = spawnSync('python3', ['-c', 'import pty, termios']).status === 0

const compiled = compileChild(join(import.meta.dirname, 'prompt-child.ts'), FOLDERS)
afterAll(() => {
  compiled.remove()
})

let folder: string
let standIn: OptHubStandIn

beforeEach(async () => {
  standIn = await OptHubStandIn.start()
  folder = await mkdtemp(join(tmpdir(), 'opthub-prompts-'))
  await writeFile(join(folder, 'config.yml'), standIn.config, { mode: 0o600 })
})

afterEach(async () => {
  await standIn[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

function environment(more: Record<string, string>): Record<string, string | undefined> {
  // No bus: a desktop's keyring is none of a test's business.
  return {
    ...process.env,
    OPTHUB_RUNNER_HOME: join(folder, 'home'),
    NO_COLOR: '1',
    DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nowhere',
    ...more,
  }
}

/** Runs a verb in a terminal of its own. */
async function inTerminal(
  steps: Step[],
  args = ['login'],
  more: Record<string, string> = {},
): Promise<Outcome> {
  const command = [process.execPath, compiled.script, ...args]
  return await runInTerminal(steps, command, { cwd: folder, environment: environment(more) })
}

/** Runs a verb without a terminal. */
async function withoutTerminal(
  args: string[],
  { input = '', more = {} }: { input?: string; more?: Record<string, string> } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = execFile(process.execPath, [compiled.script, ...args], {
    cwd: folder,
    env: environment(more),
  })
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (data: string) => (stdout += data))
  child.stderr?.on('data', (data: string) => (stderr += data))
  child.stdin?.end(input)
  const code = await new Promise<number>((resolve) => child.on('close', resolve))
  return { code, stdout, stderr }
}

describe.skipIf(!hasPython)('the prompts in a terminal', () => {
  it('come in their order, and hide the password', async () => {
    const { screen, code, restored } = await inTerminal([
      { wait: 'Username: ' },
      { type: 'alicf\x7fe\r' },
      { wait: 'Password: ' },
      { type: 'wrong\x15correct horse\r' },
    ])
    expect(screen).toContain(
      "Note: Make sure to authenticate using the competition administrator's account.\nUsername: ",
    )
    expect(screen).toMatch(/Username: alicf\u0008 \u0008e\nPassword: \n/)
    expect(screen).toContain('Logged in as alice')
    expect(screen).not.toContain('horse')
    expect({ code, restored }).toEqual({ code: 0, restored: true })
  })

  it.each(['\r', '\n', '\r\n'])('take answers that were typed ahead, ended by %j', async (enter) => {
    const typed = `alice${enter}correct horse${enter}`
    const { screen, code, restored } = await inTerminal([{ wait: null }, { type: typed }])
    expect(screen).toContain('Logged in as alice')
    // Shown where it is asked for, not where it was typed.
    expect(screen).toContain('Username: alice\n')
    expect(screen.match(/alice/g)).toHaveLength(2)
    expect(screen).not.toContain('horse')
    expect({ code, restored }).toEqual({ code: 0, restored: true })
  })

  it('take answers that come in pieces of keys and letters', async () => {
    standIn.users.set('アリス', 'パスワード')
    const { screen, code } = await inTerminal([
      { wait: 'Username: ' },
      { type: 'アリ' },
      { type: 'スX\x7f\x1b[D\x1bOC\r' },
      { wait: 'Password: ' },
      { type: 'パスワード\r' },
    ])
    expect(screen).toContain('Logged in as アリス')
    expect(code).toBe(0)
  })

  it.each([
    ['before the first', [{ wait: null }, { type: '\x03' }]],
    ['at a prompt', [{ wait: 'Username: ' }, { type: '\x03' }]],
    [
      'within a password',
      [{ wait: 'Username: ' }, { type: 'alice\rcorr' }, { wait: 'Password: ' }, { type: '\x03' }],
    ],
  ])('end at Ctrl-C %s', async (_, steps) => {
    const { screen, code, restored } = await inTerminal(steps)
    expect({ code, restored }).toEqual({ code: 130, restored: true })
    expect(screen).not.toContain('corr')
    expect(standIn.requests).toEqual([])
  })

  it('end at Ctrl-D, naming the flag', async () => {
    const { screen, code, restored } = await inTerminal([{ wait: 'Username: ' }, { type: '\x04' }])
    expect({ code, restored }).toEqual({ code: 2, restored: true })
    expect(screen).toContain('--username or OPTHUB_USERNAME')
  })

  it('ask again for what must not be empty, and keep the name that is logged in', async () => {
    await inTerminal([{ wait: 'Username: ' }, { type: 'alice\r\rcorrect horse\r' }])
    const { screen, code } = await inTerminal([
      { wait: 'Username [alice]: ' },
      { type: '\r' },
      { type: 'correct horse\r' },
    ])
    expect(screen).toContain('Logged in as alice')
    expect(code).toBe(0)
  })

  it('leave the terminal as it was when the login fails', async () => {
    const { screen, code, restored } = await inTerminal([
      { wait: 'Username: ' },
      { type: 'alice\rnot the horse\r' },
    ])
    expect({ code, restored }).toEqual({ code: 1, restored: true })
    expect(screen).toContain(
      'Authentication failed. Please verify that your username and password are correct.',
    )
    expect(screen).not.toContain('not the horse')
  })

  it('ask for the password alone when the name is given', async () => {
    const { screen, code } = await inTerminal(
      [{ wait: 'Password: ' }, { type: 'correct horse\r' }],
      ['login', '--username', 'alice'],
    )
    expect(screen).not.toContain('Username')
    expect(code).toBe(0)
  })
})

describe('without a terminal', () => {
  it('everything can be given otherwise, and the login is kept, checked and removed', async () => {
    expect(
      await withoutTerminal(['login', '--username', 'alice', '--password-stdin'], {
        input: 'correct horse\n',
      }),
    ).toEqual({
      code: 0,
      stdout: 'Logged in as alice\n',
      stderr: expect.stringContaining('readable by you only') as string,
    })
    expect(await withoutTerminal(['whoami'])).toEqual({ code: 0, stdout: 'alice\n', stderr: '' })
    const json = await withoutTerminal(['whoami', '--json'])
    expect(JSON.parse(json.stdout)).toMatchObject({
      username: 'alice',
      key: 'file',
      user_pool_id: 'ap-northeast-1_StandIn01',
    })
    expect(await withoutTerminal(['logout'])).toEqual({ code: 0, stdout: 'Logged out alice\n', stderr: '' })
    expect(await withoutTerminal(['logout'])).toEqual({
      code: 0,
      stdout: 'Nobody was logged in\n',
      stderr: '',
    })
    const nobody = await withoutTerminal(['whoami'])
    expect(nobody.code).toBe(1)
    expect(nobody.stderr).toContain('Nobody is logged in to OptHub')
    expect(standIn.count('RevokeToken')).toBe(1)
  })

  it('name and password come from the environment too', async () => {
    const more = { OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: 'correct horse' }
    expect(await withoutTerminal(['login'], { more })).toMatchObject({
      code: 0,
      stdout: 'Logged in as alice\n',
    })
  })

  it.each([
    [['login'], {}, '--username or OPTHUB_USERNAME'],
    [['login', '--username', 'alice'], {}, '--password-stdin or OPTHUB_PASSWORD'],
    [['login', '--username', 'alice', '--password-stdin'], {}, 'standard input holds no password'],
    [['login', '--username', ''], {}, '--username must be a name'],
    [['login', '--password', 'x'], {}, 'nknown option'],
  ])('%j lacks something', async (args, more, named) => {
    const { code, stderr } = await withoutTerminal(args, { more })
    expect(code).toBe(2)
    expect(stderr).toContain(named)
    expect(standIn.requests).toEqual([])
  })

  it('a password shows nowhere, not even at DEBUG', async () => {
    const password = 'tr0ub4dor&3'
    const more = { OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: password, OPTHUB_RUNNER_LOG_LEVEL: 'DEBUG' }
    const { code, stdout, stderr } = await withoutTerminal(['login'], { more })
    expect(code).toBe(1)
    expect(stdout + stderr).not.toContain(password)
    standIn.users.set('alice', password)
    expect((await withoutTerminal(['login'], { more })).code).toBe(0)
    const file = join(folder, 'home/opthub')
    for (const name of await import('node:fs/promises').then(({ readdir }) => readdir(file))) {
      expect(await readFile(join(file, name), 'utf8')).not.toContain(password)
    }
  })
})
