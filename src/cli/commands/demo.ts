import type { Command } from 'commander'
import type { Session } from '../io.ts'

/** The verb `demo`. */
export function define(command: Command, session: Session): void {
  command
    .addHelpText(
      'after',
      `
Two optimisers hand in 30 solutions each of a benchmark problem; evaluator and scorer work them through SQS and DynamoDB,
served on this machine, in real containers. Ends with the leaderboard and a plot. Needs Docker, and nothing else.`,
    )
    .action(async () => {
      const { playDemo } = await import('../demo.ts')
      session.exitCode = await playDemo(session)
    })
}
