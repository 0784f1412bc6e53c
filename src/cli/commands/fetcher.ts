import type { Command } from 'commander'
import type { Session } from '../io.ts'
import { addWorkFlags, runKind, type RunFlags } from '../run-kind.ts'
import { addConfigFlags } from '../settings.ts'

/** The verb `fetcher`: works the jobs of a worker-facing API. */
export function define(command: Command, session: Session): void {
  addWorkFlags(addConfigFlags(command))
    .addHelpText('after', HELP)
    .action(async () => {
      await runKind('fetcher', [], command.opts<RunFlags>(), session)
    })
}

const HELP = `
Settings: API_URL, USERNAME and PASSWORD or ACCESS_TOKEN, PATH_BASE, PATH_HOST_BASE, TIMEOUT_JOB and TIMEOUT_STATUS in
\`.env\` of the current folder, else in the environment, else \`fetcher:\` in the config file.`
