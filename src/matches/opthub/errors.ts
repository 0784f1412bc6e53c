import { EXIT, OperatorError } from '../../core/errors.ts'
import { CognitoError, type CognitoFailure } from './cognito.ts'
import { UnreachableError } from './http.ts'
import { UntrustedTokenError } from './verify-token.ts'

/**
 * A failed login as a person at the terminal needs it; other errors pass. `stored` is whose stored login it was, if it
 * was none by password.
 */
export function explainLoginFailure(error: unknown, stored?: string): unknown {
  const known = describe(error, stored)
  if (known === undefined || !(error instanceof Error)) return error
  const [what, hint, exitCode = EXIT.failedStart] = known
  return new OperatorError(what, error.message, hint, exitCode, { cause: error })
}

type Description = readonly [what: string, hint: string, exitCode?: number]

function describe(error: unknown, stored: string | undefined): Description | undefined {
  if (error instanceof UnreachableError) return UNREACHABLE
  if (error instanceof UntrustedTokenError) return UNTRUSTED
  if (!(error instanceof CognitoError)) return undefined
  if (stored !== undefined && error.failure === 'refused') {
    return [`The login of ${stored} has ended`, 'Run `opthub-runner login` again.']
  }
  return BY_FAILURE[error.failure]
}

const UNREACHABLE: Description = [
  'OptHub can not be reached',
  'Check the network, and `opthub:` in the config file.',
  EXIT.unavailable,
]

const UNTRUSTED: Description = [
  'The token that came from OptHub can not be trusted',
  'Check the clock of this machine, and `opthub:` in the config file.',
]

const BY_FAILURE: Record<CognitoFailure, Description> = {
  refused: [
    'Authentication failed. Please verify that your username and password are correct.',
    "Use the competition administrator's account, the one of the OptHub web site.",
  ],
  throttled: [
    'Too many requests. Please try again later.',
    'Wait some minutes; every further try adds to it.',
  ],
  account: [
    'This account can not log in yet',
    'Log in on the OptHub web site first, and do what it asks for.',
  ],
  setup: [
    'OptHub does not accept this program',
    'Check user_pool_id, client_id and region of `opthub:` in the config file, and --dev.',
  ],
}
