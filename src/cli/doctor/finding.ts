import { messageOf, OperatorError } from '../../core/errors.ts'

/** What a check has found. */
export type Finding =
  | { status: 'ok'; detail: string }
  | { status: 'failed'; detail: string; fix: string }
  /** It could not be checked, or need not be; `detail` says why. */
  | { status: 'unchecked'; detail: string }

export interface Check {
  /** Stable, for programs; `:` stands before what it is about. */
  id: string
  title: string
  run(): Promise<Finding>
}

/** A check and what it has found. */
export type CheckResult = Pick<Check, 'id' | 'title'> & Finding

export function ok(detail: string): Finding {
  return { status: 'ok', detail }
}

export function failed(detail: string, fix: string): Finding {
  return { status: 'failed', detail, fix }
}

/** `because` follows on "not checked, because". */
export function unchecked(because: string): Finding {
  return { status: 'unchecked', detail: `not checked, because ${because}` }
}

/** What an error says to somebody at the terminal. `fix` is for errors that know none themselves. */
export function failedBy(error: unknown, fix = 'Try again; if it stays so, please report it.'): Finding {
  if (error instanceof DOMException && error.name === 'TimeoutError') return NO_ANSWER
  if (!(error instanceof OperatorError)) return failed(messageOf(error), fix)
  const why = error.why === '' ? '' : `: ${error.why}`
  return failed(`${error.what}${why}`, error.hint)
}

/**
 * Runs all checks at the same time and hands over what they find in their own order. One that takes longer than
 * `timeoutMs` has failed; none can end the others.
 */
export async function* runChecks(checks: readonly Check[], timeoutMs: number): AsyncGenerator<CheckResult> {
  const running = checks.map(async (check) => {
    const { id, title } = check
    const finding = await inTime(check, timeoutMs).catch((error: unknown) => failedBy(error))
    return { id, title, ...finding }
  })
  for (const result of running) yield await result
}

async function inTime(check: Check, timeoutMs: number): Promise<Finding> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Finding>((resolve) => {
    timer = setTimeout(() => {
      resolve(NO_ANSWER)
    }, timeoutMs)
  })
  try {
    return await Promise.race([check.run(), late])
  } finally {
    clearTimeout(timer)
  }
}

/** Nothing came in time, as the check or its signal saw it. */
const NO_ANSWER = failed(
  'there was no answer in time',
  'Check the network connection, firewalls and proxies between this machine and what is asked.',
)
