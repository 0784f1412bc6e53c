import type { Command } from 'commander'
import type { Session } from '../io.ts'

interface LocalFlags {
  json?: true
}

/** The verb `local`. */
export function define(command: Command, session: Session): void {
  command
    .option('--json', 'print endpoints, keys, queues and table as one line of JSON')
    .addHelpText('after', '\nThe data stay in the data folder (OPTHUB_RUNNER_HOME) from one run to the next.')
    .action(async () => {
      await serve(command.opts<LocalFlags>(), session)
    })
}

async function serve(flags: LocalFlags, session: Session): Promise<void> {
  const [{ dataFolder }, { embeddedFolder, openEmbedded }, { createStop }, { watchSignals }, logging] =
    await Promise.all([
      import('../../config/paths.ts'),
      import('../../embedded/index.ts'),
      import('../../core/stop.ts'),
      import('../signals.ts'),
      import('../logging.ts'),
    ])
  const { io, debug } = session
  const dataDir = dataFolder(io.environment, io.platform)
  const log = logging.createPlainLog(session, debug ? 'DEBUG' : 'WARNING')
  const stop = createStop({ graceMs: 0 })
  const signals = watchSignals(io, stop, log)
  try {
    const embedded = await openEmbedded({ dataDir: embeddedFolder(dataDir), log })
    try {
      io.stdout.write(
        flags.json === true ? `${JSON.stringify(embedded.info)}\n` : shellExports(embedded.info),
      )
      if (io.stdout.isTTY === true) io.stderr.write('Serving until Ctrl-C.\n')
      await untilAborted(stop.drain)
    } finally {
      await embedded.close()
    }
  } finally {
    signals.dispose()
  }
}

interface ServedAt {
  endpoints: { sqs: string; dynamodb: string; s3: string }
  region: string
  accessKeyId: string
  secretAccessKey: string
}

function shellExports({ endpoints, region, accessKeyId, secretAccessKey }: ServedAt): string {
  const variables = {
    AWS_ENDPOINT_URL_SQS: endpoints.sqs,
    AWS_ENDPOINT_URL_DYNAMODB: endpoints.dynamodb,
    AWS_ENDPOINT_URL_S3: endpoints.s3,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_REGION: region,
    // The only one that version 1 of the aws CLI knows.
    AWS_DEFAULT_REGION: region,
  }
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'\n`)
    .join('')
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => {
      resolve()
    })
  })
}
