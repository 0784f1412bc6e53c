import { ExactNumber } from '../core/exact-number.ts'
import type { Item } from '../stores/store.ts'
import type { Io } from './io.ts'

/** What a process ends with where it was not the program that chose it. */
export const CODE_EXIT = {
  /** It could not be run. */
  ours: 125,
  timeLimit: 124,
  memoryLimit: 137,
  /** As a shell says it of a program that has written too much (SIGXFSZ). */
  outputLimit: 153,
} as const

/** The exit code for a status, with the program's own where it has one. */
export function exitCodeOf(status: string, exitCode: number | null): number {
  switch (status) {
    case 'success':
    case 'runtime_error':
    case 'signaled':
      return exitCode ?? CODE_EXIT.ours
    case 'compile_error':
      return exitCode === null || exitCode === 0 ? 1 : exitCode
    case 'file_error':
      return 1
    case 'time_limit_exceeded':
      return CODE_EXIT.timeLimit
    case 'memory_limit_exceeded':
      return CODE_EXIT.memoryLimit
    case 'output_limit_exceeded':
      return CODE_EXIT.outputLimit
    default:
      return CODE_EXIT.ours
  }
}

/** The exit code for a stored result. */
export function exitCodeOfItem(item: Item): number {
  const code = item['ExitCode']
  return exitCodeOf(textOf(item, 'Status'), code instanceof ExactNumber ? code.toNumber() : null)
}

/** Prints what a stored program has printed, and on stderr how it ended unless it went well. */
export function printItem(item: Item, io: Io): void {
  io.stdout.write(bytesOf(item, 'Stdout'))
  io.stderr.write(bytesOf(item, 'Stderr'))
  for (const name of ['Stdout', 'Stderr']) {
    if (item[`${name}Truncated`] === true)
      io.stderr.write(`opthub-runner: ${name} is longer than what was kept\n`)
  }
  const status = textOf(item, 'Status')
  const message = textOf(item, 'ErrorMessage')
  if (status !== 'success' && status !== 'runtime_error')
    io.stderr.write(`opthub-runner: ${status}${message === '' ? '' : `: ${message}`}\n`)
}

function bytesOf(item: Item, name: string): Buffer {
  return Buffer.from(textOf(item, name), item[`${name}Encoding`] === 'base64' ? 'base64' : 'utf8')
}

/** An attribute that holds text; '' when it does not. */
export function textOf(item: Item, name: string): string {
  const value = item[name]
  return typeof value === 'string' ? value : ''
}
