import { Command, CommanderError } from 'commander'
import { EXIT, OperatorError } from '../core/errors.ts'
import { wantsColor, type Io } from './io.ts'
import type { Verb } from './verbs.ts'

/** A verb's command: it throws where commander would end the process, and writes to `io`. */
export function createCommand(verb: Verb, io: Io): Command {
  return new Command(`opthub-runner ${verb.name}`)
    .description(capitalize(verb.summary))
    .helpOption('-h, --help', 'show this')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      // Errors are shown by present.ts, in the one shape that all have.
      outputError: () => undefined,
      getOutHelpWidth: () => io.stdout.columns ?? 80,
      getErrHelpWidth: () => io.stderr.columns ?? 80,
      getOutHasColors: () => wantsColor(io.stdout, io.environment),
      getErrHasColors: () => wantsColor(io.stderr, io.environment),
    })
}

/**
 * What a refusal of commander means: help was asked for and 'shown', the command is 'incomplete' and its help was
 * shown, or a mistake. Other errors pass.
 */
export function toUsageError(error: unknown, help: string): unknown {
  if (!(error instanceof CommanderError)) return error
  if (error.code === 'commander.helpDisplayed') return 'shown'
  if (error.code === 'commander.help') return 'incomplete'
  // What stands behind an unknown option may be a password.
  const [message = '', suggestion = ''] = error.message
    .replace(/^error: /, '')
    .replace(/^(unknown option '[^'=]*)=.*'/s, "$1'")
    .split('\n')
  const meant = /Did you mean (.+)\?/.exec(suggestion)?.[1]
  const hint = meant === undefined ? '' : `Did you mean ${meant}? `
  const dashes =
    error.code === 'commander.unknownOption' ? " Put `--` in front of words that are the image's own." : ''
  return new OperatorError(
    capitalize(message.replace(/\.$/, '')),
    '',
    `${hint}\`${help}\` lists what there is.${dashes}`,
    EXIT.usage,
    { cause: error },
  )
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
