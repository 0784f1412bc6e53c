import { readFileSync } from 'node:fs'
import { EXIT, OperatorError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import type { Session } from './io.ts'
import { VERBS, type Verb } from './verbs.ts'

/** The name under which people call this program. */
export const PROGRAM = 'opthub-runner'

/** Runs what the arguments ask for; throws OperatorError with exit code 2 when they make no sense. */
export async function runProgram(argv: readonly string[], session: Session): Promise<void> {
  const [first, ...rest] = argv
  switch (first) {
    case undefined:
      session.io.stderr.write(helpText())
      session.exitCode = EXIT.usage
      return
    case '--version':
    case '-V':
      session.io.stdout.write(`${readVersion()}\n`)
      return
    case '--help':
    case '-h':
      session.io.stdout.write(helpText())
      return
    case 'help':
      if (rest[0] === undefined) session.io.stdout.write(helpText())
      else await runVerb(findVerb(rest[0]), ['--help'], session)
      return
    default:
      await runVerb(findVerb(first), rest, session)
  }
}

/** This package's version. */
export function readVersion(): string {
  // The same place from src/cli and from dist/cli.
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return version
}

function findVerb(name: string): Verb {
  const found = VERBS.find((verb) => verb.name === name)
  if (found !== undefined) return found
  const names = VERBS.map((verb) => verb.name)
  const meant = nearest(name, names)
  const what = name.startsWith('-')
    ? `Unknown option ${name.replace(/=.*/s, '')} in front of the verb`
    : `Unknown verb ${name}`
  const hint = meant === undefined ? `The verbs are ${names.join(', ')}.` : `Did you mean ${meant}?`
  throw new OperatorError(what, '', `${hint} \`${PROGRAM} --help\` says more.`, EXIT.usage)
}

async function runVerb(verb: Verb, args: readonly string[], session: Session): Promise<void> {
  const [{ createCommand, toUsageError }, { define }] = await Promise.all([
    import('./command.ts'),
    verb.load(),
  ])
  const command = createCommand(verb, session.io)
  define(command, session)
  try {
    await command.parseAsync(args, { from: 'user' })
  } catch (error) {
    const usage = toUsageError(error, `${PROGRAM} ${verb.name} --help`)
    if (usage === 'shown') return
    if (usage === 'incomplete') session.exitCode = EXIT.usage
    else throw usage
  }
}

/** The help of the whole, made without loading any verb. */
function helpText(): string {
  const rows = VERBS.map(({ name, usage, summary }) => [`${name} ${usage}`.trim(), summary] as const)
  const width = Math.max(...rows.map(([left]) => left.length))
  return [
    `Usage: ${PROGRAM} <verb> [options]`,
    '',
    'Takes jobs from a queue, runs each in the Docker image that it names and stores the results in a table.',
    '',
    'Verbs:',
    ...rows.map(([left, summary]) => `  ${left.padEnd(width)}  ${summary}`),
    '',
    'Options:',
    `  ${'-h, --help'.padEnd(width)}  show this, or \`${PROGRAM} <verb> --help\` for a verb`,
    `  ${'-V, --version'.padEnd(width)}  show the version`,
    '',
    `Nothing set up yet? \`${PROGRAM} demo\` needs Docker only; \`--local\` works without AWS.`,
    '',
  ].join('\n')
}
