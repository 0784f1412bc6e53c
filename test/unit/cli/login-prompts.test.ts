import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { Io } from '../../../src/cli/io.ts'
import { askForAccount, askForRunner, type LoginFlags } from '../../../src/cli/login-prompts.ts'
import { holdTerminal, openTypedLines, releaseTerminal } from '../../../src/cli/typed-lines.ts'
import { OperatorError } from '../../../src/core/errors.ts'
import { FakeIo } from '../../support/fake-io.ts'

const NOTE = "Note: Make sure to authenticate using the competition administrator's account.\n"

/** A terminal whose keys a test presses. */
class Keys extends PassThrough {
  readonly isTTY = true
  /** Whether every key is passed on, oldest first. */
  readonly raw: boolean[] = []

  setRawMode(on: boolean): void {
    this.raw.push(on)
  }
}

interface Terminal {
  io: Io & FakeIo
  keys: Keys
}

function terminal(environment: Record<string, string> = {}, typed = ''): Terminal {
  const keys = new Keys()
  if (typed !== '') keys.write(typed)
  return { io: Object.assign(new FakeIo({ columns: 80, environment }), { stdin: keys }), keys }
}

function piped(input: string, environment: Record<string, string> = {}): FakeIo {
  return new FakeIo({ stdin: input, environment })
}

async function runner(
  typed: string,
  flags: LoginFlags = {},
  stored?: string,
  environment: Record<string, string> = {},
): Promise<{ answers: Awaited<ReturnType<typeof askForRunner>>; screen: string; raw: boolean[] }> {
  const { io, keys } = terminal(environment, typed)
  const answers = await askForRunner({ io, flags, stored })
  return { answers, screen: io.stderr.text, raw: keys.raw }
}

const BY_HAND = { username: 'alice', password: 'pass word ', remember: false }

describe('a runner on a terminal', () => {
  it('asks in the order of the Python runner, and gives the terminal back', async () => {
    const { answers, screen, raw } = await runner('judge-1\ralice\rpass word \r')
    expect(answers).toEqual({ processName: 'judge-1', account: BY_HAND })
    expect(screen).toBe(`Process Name: judge-1\n${NOTE}Username: alice\nPassword: \n`)
    expect(raw).toEqual([true, false])
  })

  it('asks only for what was not given', async () => {
    expect((await runner('pass word \r', { processName: 'p', username: 'alice' })).screen).toBe(
      `${NOTE}Password: \n`,
    )
    const given = { OPTHUB_PROCESS_NAME: 'p', OPTHUB_USERNAME: 'alice', OPTHUB_PASSWORD: 'secret' }
    const { answers, screen, raw } = await runner('', {}, undefined, given)
    expect(answers).toEqual({
      processName: 'p',
      account: { username: 'alice', password: 'secret', remember: true },
    })
    expect(screen).toBe('')
    expect(raw).toEqual([])
  })

  it('asks again for what makes no sense', async () => {
    const long = 'x'.repeat(129)
    const { answers, screen } = await runner(`\r${long}\r p \r\ralice\r\rpass word \r`)
    expect(answers).toEqual({ processName: 'p', account: BY_HAND })
    expect(screen).toContain('Process Name must not be empty\n')
    expect(screen).toContain('a process name has 1 to 128 characters')
    expect(screen).toContain('Password must not be empty\n')
  })

  it('keeps the stored login when Enter alone answers, or nothing is asked', async () => {
    const byEnter = await runner('p\r\r', {}, 'alice')
    expect(byEnter.answers).toEqual({ processName: 'p', account: 'stored' })
    expect(byEnter.screen).toBe(`Process Name: p\n${NOTE}Username [alice]: \n`)
    expect(await runner('', { processName: 'p' }, 'alice')).toEqual({
      answers: { processName: 'p', account: 'stored' },
      screen: '',
      raw: [],
    })
    expect((await runner('', { processName: 'p', username: 'Alice' }, 'alice')).answers.account).toBe(
      'stored',
    )
  })

  it('takes another account than the stored one when it is given or typed', async () => {
    expect((await runner('p\rbob\rhunter22\r', {}, 'alice')).answers.account).toEqual({
      username: 'bob',
      password: 'hunter22',
      remember: false,
    })
    expect(
      (await runner('hunter22\r', { processName: 'p', username: 'bob' }, 'alice')).answers.account,
    ).toMatchObject({ username: 'bob' })
    const environment = { OPTHUB_PASSWORD: 'secret' }
    expect((await runner('\r', { processName: 'p' }, 'alice', environment)).answers.account).toEqual({
      username: 'alice',
      password: 'secret',
      remember: true,
    })
  })

  it('takes the hidden password although --password-stdin is given', async () => {
    const flags = { processName: 'p', username: 'alice', passwordStdin: true } as const
    expect((await runner('pass word \r', flags)).answers.account).toEqual(BY_HAND)
  })
})

describe('a runner without a terminal', () => {
  it('reads the password of standard input', async () => {
    const flags = { processName: 'p', username: 'alice', passwordStdin: true } as const
    for (const input of ['pass word ', 'pass word \n', 'pass word \r\n']) {
      expect(await askForRunner({ io: piped(input), flags })).toEqual({
        processName: 'p',
        account: { ...BY_HAND, remember: true },
      })
    }
    for (const input of ['', '\n', 'two\nlines', 'x'.repeat(100_000)]) {
      await expect(askForRunner({ io: piped(input), flags })).rejects.toThrow(/--password-stdin/)
    }
  })

  it.each([
    [{}, '--process-name or OPTHUB_PROCESS_NAME'],
    [{ processName: 'p' }, '--username or OPTHUB_USERNAME'],
    [{ processName: 'p', username: 'a' }, '--password-stdin or OPTHUB_PASSWORD'],
  ])('names what is missing beside %j', async (flags, named) => {
    const thrown = await askForRunner({ io: piped('ignored'), flags }).catch((error: unknown) => error)
    expect(thrown).toBeInstanceOf(OperatorError)
    expect(thrown).toMatchObject({ hint: `Give it by ${named}.`, exitCode: 2 })
  })

  it.each([
    [{ processName: '' }, {}, /^--process-name/],
    [{ processName: 'a\nb' }, {}, /^--process-name/],
    [{}, { OPTHUB_PROCESS_NAME: ' ' }, /^OPTHUB_PROCESS_NAME/],
    [{ processName: 'p', username: '' }, {}, /^--username/],
    [{ processName: 'p' }, { OPTHUB_USERNAME: 'a\x1b[31m' }, /^OPTHUB_USERNAME/],
  ])('refuses %j %j', async (flags, environment, what) => {
    const thrown = await askForRunner({ io: piped('', environment), flags }).catch((error: unknown) => error)
    expect((thrown as OperatorError).what).toMatch(what)
  })

  it('uses the stored login where nothing else is said', async () => {
    const flags = { processName: 'p' }
    expect((await askForRunner({ io: piped(''), flags, stored: 'alice' })).account).toBe('stored')
  })
})

it('a new login keeps the name that is logged in when Enter alone answers', async () => {
  const { io } = terminal({}, '\rpass word \r')
  expect(await askForAccount({ io, flags: {}, stored: 'alice' })).toEqual(BY_HAND)
  expect(io.stderr.text).toBe(`${NOTE}Username [alice]: \nPassword: \n`)
})

describe('lines that are typed', () => {
  /** What a line becomes, and what the screen shows of it. */
  async function typed(
    keys: string[],
    hidden = false,
  ): Promise<{ line: string | undefined; screen: string }> {
    const { io, keys: input } = terminal()
    const lines = openTypedLines(io)
    const asked = lines.ask('> ', { hidden })
    for (const key of keys) input.write(Buffer.from(key, 'latin1'))
    const line = await asked
    lines.release()
    return { line, screen: io.stderr.text }
  }
  const latin = (text: string): string => Buffer.from(text).toString('latin1')

  it('can be corrected by character, word and line', async () => {
    expect((await typed(['ab\x7fc\r'])).line).toBe('ac')
    expect((await typed(['one two \x17three\r'])).line).toBe('one three')
    expect((await typed(['gone\x15kept\r'])).line).toBe('kept')
    expect((await typed(['\x7f\b\x17\x15x\r'])).line).toBe('x')
    expect((await typed([latin('日本\x7f語\r')])).screen).toBe('> 日本\b\b  \b\b語\n')
    expect((await typed([latin('👩‍👩‍👧\x7fx\r')])).line).toBe('x')
  })

  it('pass over keys that are no text, even in pieces', async () => {
    expect((await typed(['a\x1b', '[', 'D', 'b\x1bOHc\x1b[1;5Cd\x01\t\0\r'])).line).toBe('abcd')
    expect((await typed(['\x1bx\r'])).line).toBe('x')
  })

  it('come in whole characters', async () => {
    const [first = '', second = '', third = ''] = latin('あ')
    expect((await typed([first, second, third, '\r'])).line).toBe('あ')
  })

  it('show nothing when they are hidden', async () => {
    expect((await typed(['secre\x7fet\x15word\r'], true)).screen).toBe('> \n')
  })

  it('end at the end of the terminal', async () => {
    const { io, keys } = terminal()
    const asked = openTypedLines(io).ask('> ')
    keys.end('half a line')
    expect(await asked).toBeUndefined()
    expect((await typed(['\x04'])).line).toBeUndefined()
    expect((await typed(['a\x04b\r'])).line).toBe('ab')
  })

  it('end the process at Ctrl-C, with the terminal as it was', () => {
    const { io, keys } = terminal()
    openTypedLines(io)
    keys.emit('data', 'typed ahead\r\x03')
    expect(io.exits).toEqual([130])
    expect(keys.raw).toEqual([true, false])
    expect(keys.listenerCount('data')).toBe(0)
  })

  it('are bounded', async () => {
    const { io, keys } = terminal()
    const lines = openTypedLines(io)
    keys.emit('data', 'x'.repeat(1_000_000))
    keys.emit('data', '\r')
    const asked = lines.ask('> ', { hidden: true })
    keys.emit('data', '\r')
    expect((await asked)?.length).toBe(4096)
  })
})

describe('holdTerminal', () => {
  // A real process, in front or behind as it may be: only what is never held can be told from here.
  it.each([
    [['evaluator', '--local'], {}],
    [['evaluator', '--process-name', 'p', '--username=u', '--password-stdin'], {}],
    [['scorer', '--process-name=p', '--username', 'u'], { OPTHUB_PASSWORD: 'x' }],
    [['scorer'], { OPTHUB_PROCESS_NAME: 'p', OPTHUB_USERNAME: 'u', OPTHUB_PASSWORD: 'x' }],
    [['evaluator', '--help'], {}],
    [['login', '--password-stdin'], {}],
    [['login'], { OPTHUB_PASSWORD: 'x' }],
    [['results', 'evaluator'], {}],
    [[], {}],
  ])('leaves the terminal alone for %j %j', (argv, environment) => {
    const { io, keys } = terminal(environment)
    holdTerminal(argv, Object.assign(io, { platform: 'win32' }))
    expect(keys.raw).toEqual([])
  })

  it.each([
    [['evaluator']],
    [['scorer', '-d', 'python3', 'main.py']],
    [['evaluator', '--process-name', 'p']],
    [['evaluator', '--process-name', 'p', '--username', 'u']],
    [['login', '--username', 'alice']],
  ])('holds it for %j until it is released', (argv) => {
    const { io, keys } = terminal()
    holdTerminal(argv, Object.assign(io, { platform: 'win32' }))
    expect(keys.raw).toEqual([true])
    releaseTerminal(io)
    releaseTerminal(io)
    expect(keys.raw).toEqual([true, false])
  })

  it('leaves it alone where none is, or where the process is not in front', () => {
    const { io, keys } = terminal()
    holdTerminal(['evaluator'], Object.assign(io, { platform: 'linux', pid: 2 ** 30 }))
    expect(keys.raw).toEqual([])
    holdTerminal(['evaluator'], piped(''))
  })
})
