import type { Command } from 'commander'
import type { Session } from '../io.ts'
import { addConfigFlags, configFile, type SettingFlags } from '../settings.ts'

interface CheckFlags extends SettingFlags {
  strict?: true
  json?: true
}

/** The verb `config`. */
export function define(command: Command, session: Session): void {
  const check = command.command('check').description('show every mistake of the config file at once')
  addConfigFlags(check)
    .option('--strict', 'unknown and doubled keys are mistakes, too')
    .option('--json', 'print the findings as one JSON document')
    .action(async () => {
      await checkConfig(check.opts<CheckFlags>(), session)
    })
  command
    .command('schema')
    .description('print the JSON Schema of the config file, for editors')
    .action(async () => {
      const { configJsonSchema } = await import('../../config/schema.ts')
      session.io.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
    })
}

async function checkConfig(flags: CheckFlags, session: Session): Promise<void> {
  const [{ loadConfig }, { ConfigError, formatProblem }] = await Promise.all([
    import('../../config/load.ts'),
    import('../../config/problem.ts'),
  ])
  const { io } = session
  const file = configFile(flags)
  try {
    const { warnings } = await loadConfig({
      file,
      required: true,
      environment: io.environment,
      flags: {},
      strict: flags.strict === true,
    })
    if (flags.json === true) {
      io.stdout.write(`${JSON.stringify({ ok: true, problems: warnings })}\n`)
      return
    }
    for (const warning of warnings) io.stderr.write(`warning: ${formatProblem(warning)}\n`)
    const also =
      warnings.length === 0 ? '' : `, with ${warnings.length} warning${warnings.length === 1 ? '' : 's'}`
    io.stdout.write(`${file} is fine${also}\n`)
  } catch (error) {
    if (!(error instanceof ConfigError) || flags.json !== true) throw error
    io.stdout.write(`${JSON.stringify({ ok: false, problems: error.problems })}\n`)
    session.exitCode = error.exitCode
  }
}
