import type { Command } from 'commander'
import { EXIT, OperatorError } from '../../core/errors.ts'
import type { Answers } from '../init/answers.ts'
import type { Asker } from '../init/asker.ts'
import type { InitFlags, Topic } from '../init/interview.ts'
import { isInteractive, type Session } from '../io.ts'
import { addConfigFlags, configFile } from '../settings.ts'

interface Flags extends InitFlags {
  config?: string
  dev?: true
  force?: true
  /** False behind --no-check. */
  check?: boolean
}

/** The verb `init`. */
export function define(command: Command, session: Session): void {
  addConfigFlags(command)
    .addOption(
      command
        .createOption('--kind <kind>', 'set up one kind alone (default: both)')
        .choices(['evaluator', 'scorer']),
    )
    .option('--local', "for this machine's own queues and table")
    .option('--evaluator-queue-url <url>', 'SQS queue of the evaluator')
    .option('--scorer-queue-url <url>', 'SQS queue of the scorer')
    .option('--table-name <name>', 'DynamoDB table')
    .option('--region <name>', "AWS region (default: the one in the queue's URL, or AWS_REGION)")
    .option('--endpoint-url <url>', 'another server that speaks SQS and DynamoDB')
    .option('--access-key-id <id>', "AWS access key id, env:NAME or file:PATH (default: AWS's default chain)")
    .option('--secret-access-key <where>', 'its secret, as env:NAME or file:PATH')
    .option('--match <uuid>', 'match whose images follow (default: *, which is all)')
    .option('--problem-image <image>', 'what the evaluator runs (default: what OptHub says)')
    .option('--indicator-image <image>', 'what the scorer runs (default: what OptHub says)')
    .option('--no-check', 'do not try whether queues, table, keys and images are there')
    .option('--force', 'take the place of a file that is there already')
    .addHelpText(
      'after',
      '\nAsks at a terminal for what the flags do not say. Without one they have to say it.',
    )
    .action(async () => {
      await init(command.opts<Flags>(), session)
    })
}

async function init(flags: Flags, session: Session): Promise<void> {
  const { io } = session
  try {
    await writeAnswers(flags, session)
  } catch (error) {
    // Ctrl-C at a prompt, by the name that the prompts give it.
    if (!(error instanceof Error) || error.name !== 'ExitPromptError') throw error
    io.stderr.write('\nNothing was written.\n')
    session.exitCode = 130
  }
}

async function writeAnswers(flags: Flags, session: Session): Promise<void> {
  const [{ createFlagAsker, createPromptAsker }, { interview }, { isTaken, writeConfig }, { renderConfig }] =
    await Promise.all([
      import('../init/asker.ts'),
      import('../init/interview.ts'),
      import('../init/write-config.ts'),
      import('../init/config-text.ts'),
    ])
  const { io } = session
  const { environment } = io
  const file = configFile(flags)
  const asker = isInteractive(io) && io.stdin.isTTY === true ? await createPromptAsker(io) : createFlagAsker()
  const overwrite = (await isTaken(file)) && (await mayOverwrite(file, flags, asker))
  const region = environment['AWS_REGION'] || environment['AWS_DEFAULT_REGION'] || undefined
  let answers = await interview({ asker, flags, region })
  if (flags.check !== false) answers = await untilTrue(answers, { file, asker, region, session })
  await writeConfig(file, renderConfig(answers), overwrite)
  io.stdout.write(`Wrote ${file}\n`)
  io.stderr.write(`${nextSteps(answers, file)}\n`)
}

async function mayOverwrite(file: string, flags: Flags, asker: Asker): Promise<boolean> {
  if (flags.force === true) return true
  const choices = [
    { value: 'no', name: 'no' },
    { value: 'yes', name: 'yes' },
  ] as const
  const answer = await asker.choose({
    message: `${file} is there already. Take its place?`,
    choices,
    fallback: 'no',
  })
  if (answer === 'yes') return true
  throw new OperatorError(
    `${file} is there already`,
    '',
    'Name another file by --config, or add --force to take its place.',
    EXIT.failedStart,
  )
}

interface Trial {
  file: string
  asker: Asker
  region: string | undefined
  session: Session
}

/** Tries the answers on the real thing, and asks again for what is wrong, as long as that is wanted. */
async function untilTrue(answers: Answers, { file, asker, region, session }: Trial): Promise<Answers> {
  const [{ tryAnswers }, { askAgain }] = await Promise.all([
    import('../init/try-answers.ts'),
    import('../init/interview.ts'),
  ])
  for (;;) {
    const wrong = await tryAnswers(answers, file, session)
    if (wrong.size === 0) return answers
    const choices = [
      { value: 'change', name: 'change these answers' },
      { value: 'keep', name: 'keep them all the same' },
    ] as const
    const next = asker.isPerson
      ? await asker.choose({ message: 'Something is not right.', choices, fallback: 'change' })
      : 'stop'
    if (next === 'keep') return answers
    if (next === 'stop') {
      throw new OperatorError(
        'Nothing was written, since some answers do not fit',
        `they are marked above: ${[...wrong].join(', ')}`,
        'Mend them, or add --no-check to write them all the same.',
        EXIT.failedStart,
      )
    }
    answers = await askAgain(answers, wrong satisfies ReadonlySet<Topic>, asker, region)
  }
}

function nextSteps({ kinds, local, match }: Answers, file: string): string {
  const suffix = `${file === 'config.yml' ? '' : ` -c ${file}`}${local ? ' --local' : ''}`
  const login = match === undefined ? ['  opthub-runner login'] : []
  const doctor = `  opthub-runner doctor${suffix}`
  return ['Next:', ...login, doctor, ...kinds.map((kind) => `  opthub-runner ${kind}${suffix}`)].join('\n')
}
