import type { Command } from 'commander'
import { addCodeFlags, isCodeGiven, type CodeFlags } from '../code-flags.ts'
import type { Session } from '../io.ts'
import { addPlaceFlags, addWorkFlags, type RunFlags } from '../run-kind.ts'

/** The verb `code-exec`: works the queue, or runs one program here and now. */
export function define(command: Command, session: Session): void {
  addWorkFlags(addPlaceFlags(addCodeFlags(command)))
    .addHelpText('after', AD_HOC_HELP)
    .action(async (args: string[]) => {
      const flags = command.opts<CodeFlags & RunFlags>()
      session.json = flags.json === true
      if (!isCodeGiven(flags)) {
        await workQueue(flags, args, session)
        return
      }
      const { runCode } = await import('../run-code.ts')
      session.exitCode = await runCode(flags, args, session)
    })
}

async function workQueue(flags: CodeFlags & RunFlags, args: string[], session: Session): Promise<void> {
  const [{ assertNoCodeFlags }, { runKind }] = await Promise.all([
    import('../code-message.ts'),
    import('../run-kind.ts'),
  ])
  assertNoCodeFlags(flags, args)
  await runKind('code-exec', [], flags, session)
}

const AD_HOC_HELP = `
With --code, --code-file or --image one program runs here and now, without queue or table, and its exit code is ours;
124 when its time is over, 137 when memory ran out, 153 after too much output, 125 when it could not be run.`
