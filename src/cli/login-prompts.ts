import type { Command } from 'commander'
import { EXIT, OperatorError } from '../core/errors.ts'
import type { Io } from './io.ts'
import { plainText } from './text.ts'
import { canAsk, openTypedLines, releaseTerminal } from './typed-lines.ts'

/** What commander makes of the flags of a login. */
export interface LoginFlags {
  processName?: string
  username?: string
  passwordStdin?: true
}

/** A name and a password. */
export interface GivenAccount {
  username: string
  password: string
  /** It came from a service manager, so it may be used again when the login has ended. */
  remember: boolean
}

/** The note of the Python runner. */
const NOTE = "Note: Make sure to authenticate using the competition administrator's account."
const MAX_PASSWORD_BYTES = 64 * 1024

/** Adds --username and --password-stdin. */
export function addLoginFlags(command: Command): Command {
  return command
    .option('--username <name>', 'OptHub account (or OPTHUB_USERNAME)')
    .option('--password-stdin', 'read its password from standard input (or OPTHUB_PASSWORD)')
}

/** Why a name is none for a process; undefined when it is one. */
export function processNameProblem(name: string): string | undefined {
  if (/^\P{Cc}{1,128}$/u.test(name) && name.trim() !== '') return undefined
  return 'a process name has 1 to 128 characters, none of them a control character'
}

export interface AskOptions {
  io: Io
  flags: LoginFlags
  /** Who is logged in already. */
  stored?: string | undefined
}

/**
 * The account of a new login, from flags, from the environment, or asked for; Enter alone keeps the name that is logged
 * in. OperatorError naming the flag when an answer is missing and there is no terminal. The terminal is afterwards as it
 * was.
 */
export async function askForAccount({ io, flags, stored }: AskOptions): Promise<GivenAccount> {
  const asker = new Asker(io)
  try {
    const password = await givenPassword(io, flags)
    if (asker.canAsk && password === undefined) io.stderr.write(`${NOTE}\n`)
    const username =
      givenUsername(io, flags) ?? (await asker.ask(USERNAME, { fallback: stored })) ?? stored ?? ''
    return { username, ...(await withPassword(password, asker)) }
  } finally {
    releaseTerminal(io)
  }
}

/**
 * Process name and account of a runner, in the order of the Python runner, from the same places. 'stored' = the login
 * that is stored, which is chosen by its name, by Enter alone, or by giving nothing where nothing is asked.
 */
export async function askForRunner({ io, flags, stored }: AskOptions): Promise<RunnerAnswers> {
  const asker = new Asker(io)
  try {
    const processName =
      givenProcessName(io, flags) ?? (await asker.ask(PROCESS_NAME, { check: processNameProblem })) ?? ''
    const password = await givenPassword(io, flags)
    const username = givenUsername(io, flags)
    const mayKeep = stored !== undefined && password === undefined
    if (mayKeep && (username === undefined ? !asker.hasAsked : isSame(username, stored))) {
      return { processName, account: 'stored' }
    }
    if (asker.canAsk && password === undefined) io.stderr.write(`${NOTE}\n`)
    const chosen = username ?? (await asker.ask(USERNAME, { fallback: stored }))
    if (chosen === undefined && mayKeep) return { processName, account: 'stored' }
    return {
      processName,
      account: { username: chosen ?? stored ?? '', ...(await withPassword(password, asker)) },
    }
  } finally {
    releaseTerminal(io)
  }
}

export interface RunnerAnswers {
  processName: string
  account: GivenAccount | 'stored'
}

interface Field {
  label: string
  /** How to give it otherwise. */
  flags: string
}

const PROCESS_NAME: Field = { label: 'Process Name', flags: '--process-name or OPTHUB_PROCESS_NAME' }
const USERNAME: Field = { label: 'Username', flags: '--username or OPTHUB_USERNAME' }
const PASSWORD: Field = { label: 'Password', flags: '--password-stdin or OPTHUB_PASSWORD' }

interface AskHow {
  hidden?: boolean
  /** What Enter alone stands for. */
  fallback?: string | undefined
  check?: (answer: string) => string | undefined
}

/** Asks on the terminal, if there is one. */
class Asker {
  readonly canAsk: boolean
  hasAsked = false
  readonly #io: Io

  constructor(io: Io) {
    this.#io = io
    this.canAsk = canAsk(io)
  }

  /** Undefined when the answer is Enter alone and stands for something. OperatorError when nobody answers. */
  async ask(field: Field, { hidden = false, fallback, check }: AskHow = {}): Promise<string | undefined> {
    if (!this.canAsk) throw missing(field, 'there is no terminal to ask for it')
    this.hasAsked = true
    const lines = openTypedLines(this.#io)
    const prompt = fallback === undefined ? field.label : `${field.label} [${plainText(fallback)}]`
    for (;;) {
      const typed = await lines.ask(`${prompt}: `, { hidden })
      if (typed === undefined) throw missing(field, 'the terminal has ended')
      const answer = hidden ? typed : typed.trim()
      if (answer === '' && fallback !== undefined) return undefined
      const problem = answer === '' ? `${field.label} must not be empty` : check?.(answer)
      if (problem === undefined) return answer
      this.#io.stderr.write(`${problem}\n`)
    }
  }
}

function missing({ label, flags }: Field, why: string): OperatorError {
  return new OperatorError(`${label} is missing`, why, `Give it by ${flags}.`, EXIT.usage)
}

/** The process's name by flag or environment. */
export function givenProcessName(io: Io, flags: LoginFlags): string | undefined {
  const name = flags.processName ?? variable(io, 'OPTHUB_PROCESS_NAME')
  const problem = name === undefined ? undefined : processNameProblem(name)
  if (problem === undefined) return name
  const where = flags.processName === undefined ? 'OPTHUB_PROCESS_NAME' : '--process-name'
  throw new OperatorError(`${where}: ${problem}`, '', 'Choose another name.', EXIT.usage)
}

/** Whether flags or environment say who logs in. */
export function isAccountGiven(io: Io, flags: LoginFlags): boolean {
  return givenUsername(io, flags) !== undefined || flags.passwordStdin === true
}

function givenUsername(io: Io, flags: LoginFlags): string | undefined {
  const name = flags.username ?? variable(io, 'OPTHUB_USERNAME')
  if (name === undefined || /^\P{Cc}+$/u.test(name)) return name
  const where = flags.username === undefined ? 'OPTHUB_USERNAME' : '--username'
  throw new OperatorError(
    `${where} must be a name`,
    'it is empty, or holds control characters',
    '',
    EXIT.usage,
  )
}

async function givenPassword(io: Io, flags: LoginFlags): Promise<string | undefined> {
  // Where a person types it is asked for, and hidden.
  if (flags.passwordStdin === true && io.stdin.isTTY !== true) return await readPassword(io)
  return flags.passwordStdin === true ? undefined : variable(io, 'OPTHUB_PASSWORD')
}

async function withPassword(
  given: string | undefined,
  asker: Asker,
): Promise<Pick<GivenAccount, 'password' | 'remember'>> {
  if (given !== undefined) return { password: given, remember: true }
  return { password: (await asker.ask(PASSWORD, { hidden: true })) ?? '', remember: false }
}

function isSame(name: string, other: string): boolean {
  return name.toLowerCase() === other.toLowerCase()
}

/** All of standard input but the newline at its end. */
async function readPassword({ stdin }: Io): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of stdin as AsyncIterable<Buffer | string>) {
    parts.push(Buffer.from(part))
    length += part.length
    if (length > MAX_PASSWORD_BYTES) break
  }
  const password = Buffer.concat(parts)
    .toString('utf8')
    .replace(/\r?\n$/, '')
  if (password !== '' && length <= MAX_PASSWORD_BYTES && !password.includes('\n')) return password
  throw new OperatorError(
    '--password-stdin: standard input holds no password',
    password === '' ? 'it is empty' : 'it has more than one line',
    'Write the password, and nothing else, to standard input.',
    EXIT.usage,
  )
}

function variable({ environment }: Io, name: string): string | undefined {
  const value = environment[name]
  return value === '' ? undefined : value
}
