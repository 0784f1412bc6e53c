import { EXIT, OperatorError } from '../core/errors.ts'

/** Environment variables, passed in so that nothing below the rim asks the process. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Where a setting was written. */
export type Origin =
  { file: string; line?: number; column?: number } | { variable: string } | { flag: string }

/** Something wrong (or doubtful) about one setting. */
export interface ConfigProblem {
  severity: 'error' | 'warning'
  origin: Origin
  /** Keys down to the setting, e.g. ['limits', 'memory']; empty = the file as a whole. */
  path: readonly string[]
  /** What is wrong, one sentence; never holds a secret. */
  message: string
  /** How to mend it; may be empty. */
  hint: string
}

/** `config.yml:3:11`, the variable's or the flag's name. */
export function formatOrigin(origin: Origin): string {
  if ('flag' in origin) return origin.flag
  if ('variable' in origin) return origin.variable
  return [origin.file, origin.line, origin.column].filter((part) => part !== undefined).join(':')
}

/** One line: where, what, and how to mend it. */
export function formatProblem(problem: ConfigProblem): string {
  const hint = problem.hint === '' ? '' : ` (${problem.hint})`
  return `${formatOrigin(problem.origin)}: ${problem.message}${hint}`
}

/** Every mistake of the settings at once. Exit code 2 when a flag is among them, else 78. */
export class ConfigError extends OperatorError {
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    const [only, ...more] = problems
    const anyFlag = problems.some((problem) => 'flag' in problem.origin)
    const exitCode = anyFlag ? EXIT.usage : EXIT.config
    if (only !== undefined && more.length === 0) {
      super(`${formatOrigin(only.origin)}: ${only.message}`, '', only.hint || GENERAL_HINT, exitCode)
    } else {
      const what = `The settings have ${problems.length} mistakes`
      super(what, problems.map(formatProblem).join('\n'), GENERAL_HINT, exitCode)
    }
    this.problems = problems
  }
}

const GENERAL_HINT = 'config.default.yml explains every key; `opthub-runner config check` checks a file'
