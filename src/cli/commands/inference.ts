import type { Command } from 'commander'
import { EXIT, OperatorError } from '../../core/errors.ts'
import {
  addCallFlags,
  addServerFlags,
  isCallGiven,
  queueSettings,
  serverSettings,
  type CallFlags,
  type ServerFlags,
} from '../inference-flags.ts'
import type { Session } from '../io.ts'
import { addPlaceFlags, addWorkFlags, type RunFlags } from '../run-kind.ts'

type Flags = CallFlags & ServerFlags & RunFlags

/** The verb `inference`: works the queue, or calls a model here and now. */
export function define(command: Command, session: Session): void {
  addWorkFlags(addPlaceFlags(addServerFlags(addCallFlags(command))))
    .addHelpText('after', AD_HOC_HELP)
    .action(async (args: string[]) => {
      const flags = command.opts<Flags>()
      session.json = flags.json === true
      if (!isCallGiven(flags)) {
        await workQueue(flags, args, session)
        return
      }
      const { runCall } = await import('../run-inference.ts')
      session.exitCode = await runCall(flags, args, session)
    })
}

async function workQueue(flags: Flags, args: string[], session: Session): Promise<void> {
  const ofACall: [string, unknown][] = [
    ['--max-tokens', flags.maxTokens],
    ['--path', flags.path],
    ['--env', flags.env],
    ['--id', flags.id],
    ['an argument', args[0]],
  ]
  const given = ofACall.find(([, value]) => value !== undefined)
  if (given !== undefined) {
    const hint =
      'Add --prompt, --messages or --input; for the image of a queue write it into the config file.'
    throw new OperatorError(`Nothing is asked, but ${given[0]} is there`, '', hint, EXIT.usage)
  }
  const { runKind } = await import('../run-kind.ts')
  const settings = { ...queueSettings(flags), ...serverSettings(flags) }
  await runKind('inference', [], { ...flags, settings }, session)
}

const AD_HOC_HELP = `
With --prompt, --messages or --input the model is called once, here and now, without queue or table, and its answer is
printed: the text of its first choice, else JSON. Without them the queue is worked; --image, --mode, --protocol, --port,
--gpus, --memory and --timeout then hold for messages that say nothing else.`
