import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import type { Io } from './io.ts'
import { displayWidth } from './text.ts'

/** A terminal that can be told to pass on every key. */
type TerminalInput = Readable & { isTTY?: boolean | undefined; setRawMode?: (on: boolean) => unknown }

interface Question {
  hidden: boolean
  answer: (line: string | undefined) => void
}

/** More is nothing that a person types ahead. */
const MOST_PENDING = 64 * 1024
const LONGEST_LINE = 4096
/** As shells have it: 128 and SIGINT's number. */
const INTERRUPTED = 130

const held = new WeakMap<Readable, TypedLines>()

/**
 * Lines that a person types, also before they are asked for. From `holdTerminal` to `release` the terminal shows
 * nothing by itself, so that a password typed ahead is never seen.
 */
export class TypedLines {
  readonly #io: Io
  readonly #input: TerminalInput
  readonly #decoder = new StringDecoder('utf8')
  #pending = ''
  #line = ''
  #question: Question | undefined
  #ended = false
  #afterReturn = false

  constructor(io: Io) {
    this.#io = io
    this.#input = io.stdin
    this.#input.setRawMode?.(true)
    this.#input.on('data', this.#take)
    this.#input.on('end', this.#end)
    this.#input.resume()
  }

  /** The next line; undefined when the terminal is at its end (Ctrl-D). Ctrl-C ends the process. One at a time. */
  async ask(prompt: string, { hidden = false } = {}): Promise<string | undefined> {
    this.#io.stderr.write(prompt)
    return await new Promise((answer) => {
      this.#line = ''
      this.#question = { hidden, answer }
      this.#read()
    })
  }

  /** Gives the terminal back as it was. What was typed and not asked for is dropped. */
  release(): void {
    this.#input.off('data', this.#take)
    this.#input.off('end', this.#end)
    this.#input.pause()
    this.#input.setRawMode?.(false)
    this.#pending = ''
    held.delete(this.#io.stdin)
  }

  readonly #take = (data: Buffer | string): void => {
    const text = typeof data === 'string' ? data : this.#decoder.write(data)
    if (text.includes('\x03')) {
      // Whatever else is waiting: somebody wants out, now.
      this.release()
      this.#io.stderr.write('\n')
      this.#io.exit(INTERRUPTED)
      return
    }
    this.#pending = (this.#pending + text).slice(0, MOST_PENDING)
    this.#read()
  }

  readonly #end = (): void => {
    this.#ended = true
    this.#read()
  }

  /** Works off what was typed, up to the end of the line that is asked for. */
  #read(): void {
    while (this.#question !== undefined) {
      const key = nextKey(this.#pending)
      if (key === '') break
      this.#pending = this.#pending.slice(key.length)
      this.#press(key)
    }
    if (this.#ended && this.#question !== undefined) this.#answer(undefined)
  }

  #press(key: string): void {
    const afterReturn = this.#afterReturn
    this.#afterReturn = key === '\r'
    switch (key) {
      case '\n':
        if (!afterReturn) this.#answer(this.#line)
        return
      case '\r':
        this.#answer(this.#line)
        return
      case '\x04':
        if (this.#line === '') this.#answer(undefined)
        return
      case '\x7f':
      case '\b':
        this.#erase(lastCharacter(this.#line).length)
        return
      case '\x15':
        this.#erase(this.#line.length)
        return
      case '\x17':
        this.#erase(/\S*\s*$/.exec(this.#line)?.[0].length ?? 0)
        return
      default:
        // Arrows and other keys that are no text.
        if (/\p{Cc}/u.test(key) || this.#line.length >= LONGEST_LINE) return
        this.#line += key
        this.#show(key)
    }
  }

  #erase(length: number): void {
    const gone = this.#line.slice(this.#line.length - length)
    this.#line = this.#line.slice(0, this.#line.length - length)
    const width = displayWidth(gone)
    this.#show('\b'.repeat(width) + ' '.repeat(width) + '\b'.repeat(width))
  }

  #show(text: string): void {
    if (this.#question?.hidden === false) this.#io.stderr.write(text)
  }

  #answer(line: string | undefined): void {
    const question = this.#question
    this.#question = undefined
    this.#io.stderr.write('\n')
    question?.answer(line)
  }
}

/** Whether a person sits there who can be asked. */
export function canAsk(io: Io): boolean {
  return io.stdin.isTTY === true && io.stderr.isTTY === true
}

/** The terminal's lines: those that are held since the start, else from now on. */
export function openTypedLines(io: Io): TypedLines {
  const lines = held.get(io.stdin) ?? new TypedLines(io)
  held.set(io.stdin, lines)
  return lines
}

/**
 * Turns the terminal's echo off and keeps what is typed, when the arguments are those of a verb that will ask: called
 * first of all, so that nothing typed while the program loads is shown or lost.
 */
export function holdTerminal(argv: readonly string[], io: Io): void {
  if (willAsk(argv, io) && canAsk(io) && isForeground(io)) openTypedLines(io)
}

/** Gives the terminal back, if it is held. */
export function releaseTerminal(io: Io): void {
  held.get(io.stdin)?.release()
}

function willAsk([verb = '', ...flags]: readonly string[], { environment }: Io): boolean {
  const isGiven = (flag: string, variable: string): boolean =>
    (environment[variable] ?? '') !== '' || flags.some((word) => word === flag || word.startsWith(`${flag}=`))
  if (flags.some((flag) => ['-h', '--help', '--local'].includes(flag))) return false
  if (verb === 'login') return !isGiven('--password-stdin', 'OPTHUB_PASSWORD')
  if (!['evaluator', 'scorer'].includes(verb)) return false
  const isPasswordGiven = isGiven('--password-stdin', 'OPTHUB_PASSWORD')
  const isUserGiven = isGiven('--username', 'OPTHUB_USERNAME')
  return !isGiven('--process-name', 'OPTHUB_PROCESS_NAME') || !isUserGiven || !isPasswordGiven
}

/** A job in the background that touches the terminal's settings is stopped by the system. */
function isForeground({ platform, pid }: Io): boolean {
  if (platform === 'win32') return true
  try {
    const [group, front] = platform === 'linux' ? groupsByProc(pid) : groupsByPs(pid)
    return group !== undefined && group === front
  } catch {
    return false
  }
}

/** The process's group, and the one in front of its terminal. */
type Groups = [own: string | undefined, front: string | undefined]

function groupsByProc(pid: number): Groups {
  // Behind the name, which may hold anything: state, parent, group, session, terminal, group in front.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [, , own, , , front] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return [own, front]
}

function groupsByPs(pid: number): Groups {
  const output = execFileSync('ps', ['-o', 'pgid=', '-o', 'tpgid=', '-p', String(pid)], { encoding: 'utf8' })
  const [own, front] = output.trim().split(/\s+/)
  return [own, front]
}

/** The first key in what was typed; '' when there is none, or not all of it yet. */
function nextKey(typed: string): string {
  const [first = ''] = typed
  if (first !== '\x1b') return first
  const sequence = /^\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])/.exec(typed)?.[0]
  if (sequence !== undefined) return sequence
  return /^\x1b(?:\[[0-?]*[ -/]*|O)?$/.test(typed) ? '' : '\x1b'
}

function lastCharacter(text: string): string {
  return [...new Intl.Segmenter('en', { granularity: 'grapheme' }).segment(text)].at(-1)?.segment ?? ''
}
