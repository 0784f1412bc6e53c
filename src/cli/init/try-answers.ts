import { dataFolder } from '../../config/paths.ts'
import { ConfigError, formatProblem } from '../../config/problem.ts'
import { createLogger } from '../../core/log.ts'
import { examine } from '../doctor/doctor.ts'
import type { CheckResult } from '../doctor/finding.ts'
import { openReport } from '../doctor/report.ts'
import type { Session } from '../io.ts'
import { endpointsOf } from '../opthub.ts'
import type { Answers } from './answers.ts'
import { renderConfig } from './config-text.ts'
import type { Topic } from './interview.ts'
import { readAsConfig } from './write-config.ts'

/** Tries the answers on the real queues, table, keys and images; shows what is found, and says what is wrong. */
export async function tryAnswers(
  answers: Answers,
  file: string,
  session: Session,
): Promise<ReadonlySet<Topic>> {
  const { io } = session
  const { environment } = io
  try {
    const loaded = await readAsConfig(file, renderConfig(answers), environment)
    const { secret_access_key: secret } = loaded.config
    if (secret !== undefined) session.secrets = [secret]
    const report = openReport(session, false, io.stderr)
    const wrong = new Set<Topic>()
    const [kind, ...others] = answers.kinds
    for await (const result of examine({
      nodeVersion: process.versions.node,
      environment,
      dataDir: dataFolder(environment, io.platform),
      local: answers.local,
      kind: others.length > 0 ? undefined : kind,
      matchId: undefined,
      load: () => Promise.resolve(loaded),
      endpointsOf: (config) => endpointsOf(config, {}),
      log: createLogger(() => undefined),
    })) {
      report.add(result)
      for (const topic of topicsOf(result, answers)) wrong.add(topic)
    }
    report.end()
    return wrong
  } catch (error) {
    if (!(error instanceof ConfigError) || !error.problems.every(({ path }) => /key/.test(path[0] ?? '')))
      throw error
    // All else was checked when it was answered; these name a variable or a file that is not there.
    for (const problem of error.problems) io.stderr.write(`✖ ${formatProblem(problem)}\n`)
    return new Set(['credentials'])
  }
}

/** Which answers a finding speaks against; others are no matter of the config file. */
function topicsOf({ id, status }: CheckResult, { match }: Answers): Topic[] {
  if (status !== 'failed') return []
  switch (id) {
    case 'credentials':
    case 'queue:evaluator':
    case 'queue:scorer':
    case 'table':
      return [id]
    default:
      return (['problem', 'indicator'] as const).filter((part) => id === `image:${String(match?.[part])}`)
  }
}
