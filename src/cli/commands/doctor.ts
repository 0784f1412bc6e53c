import type { Command } from 'commander'
import { EXIT } from '../../core/errors.ts'
import type { TrialKindName } from '../../kinds/index.ts'
import type { CheckResult } from '../doctor/finding.ts'
import type { Session } from '../io.ts'
import { addConfigFlags, addLocalFlag, loadSettings, type SettingFlags } from '../settings.ts'

interface DoctorFlags extends SettingFlags {
  kind?: TrialKindName
  match?: string
  json?: true
}

/** The verb `doctor`. */
export function define(command: Command, session: Session): void {
  addLocalFlag(addConfigFlags(command))
    .addOption(
      command
        .createOption('--kind <kind>', 'check what this kind needs (default: those whose queue is set)')
        .choices(['evaluator', 'scorer']),
    )
    .option('--match <uuid>', 'check this match of OptHub and its images, too')
    .option('--json', 'print the findings as one JSON document')
    .addHelpText(
      'after',
      '\nNo message is received, nothing is pulled. Exit codes: 0 all is well, 1 a check failed.',
    )
    .action(async () => {
      await runDoctor(command.opts<DoctorFlags>(), session)
    })
}

async function runDoctor(flags: DoctorFlags, session: Session): Promise<void> {
  session.json = flags.json === true
  const matchId = flags.match
  const [{ examine }, { dataFolder }, { endpointsOf }, { createLogger }, { parseMatchId }, { openReport }] =
    await Promise.all([
      import('../doctor/doctor.ts'),
      import('../../config/paths.ts'),
      import('../opthub.ts'),
      import('../../core/log.ts'),
      import('../trial-id.ts'),
      import('../doctor/report.ts'),
    ])
  const { io } = session
  const report = openReport(session, flags.json === true)
  const results: CheckResult[] = []
  for await (const result of examine({
    nodeVersion: process.versions.node,
    environment: io.environment,
    dataDir: dataFolder(io.environment, io.platform),
    local: flags.local === true,
    kind: flags.kind,
    matchId: matchId === undefined ? undefined : parseMatchId(matchId, '--match'),
    load: (needs) => loadSettings(session, flags, needs),
    endpointsOf: (config) => endpointsOf(config, flags),
    // What is wrong is a finding; what else happens is nobody's business here.
    log: createLogger(() => undefined),
  })) {
    results.push(result)
    report.add(result)
  }
  report.end()
  if (results.some(({ status }) => status === 'failed')) session.exitCode = EXIT.failedStart
}
