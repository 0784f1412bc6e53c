import type { Command } from 'commander'
import { EXIT, OperatorError } from '../../core/errors.ts'
import { nearest } from '../../core/nearest.ts'
import type { Session } from '../io.ts'

/** The verb `completion`. */
export function define(command: Command, session: Session): void {
  command
    .argument('<shell>', 'bash, zsh or fish')
    .addHelpText('after', HOW_TO_USE)
    .action(async (shell: string) => {
      const { completionScript, SHELLS } = await import('../completion.ts')
      const known = SHELLS.find((name) => name === shell)
      if (known === undefined) {
        const meant = nearest(shell, SHELLS)
        const hint = meant === undefined ? `Choose one of ${SHELLS.join(', ')}.` : `Did you mean ${meant}?`
        throw new OperatorError(`There is no completion for the shell ${shell}`, '', hint, EXIT.usage)
      }
      session.io.stdout.write(await completionScript(known, session))
    })
}

const HOW_TO_USE = `
bash:  eval "$(opthub-runner completion bash)"           in ~/.bashrc
zsh:   eval "$(opthub-runner completion zsh)"            in ~/.zshrc, after compinit
fish:  opthub-runner completion fish | source            in ~/.config/fish/config.fish`
