import { EXIT, messageOf, OperatorError, RetryableError } from '../../../core/errors.ts'
import { SshError } from './ssh-connection.ts'

const START_IT =
  'Start Docker (Linux: `sudo systemctl start docker`, as root on Debian or Ubuntu also scripts/docker-up.sh; macOS and Windows: Docker Desktop), or set DOCKER_HOST or docker.host to where it listens.'
const MEND_SSH =
  'This must work without any question: `ssh HOST docker version`. It takes a key that ssh finds by itself (ssh-agent, ~/.ssh/config), a known host key, and over there Docker 18.09 or newer with the right to use it.'
const MEND_TLS =
  'Check the certificates: ca.pem, cert.pem and key.pem of the context or in DOCKER_CERT_PATH, and DOCKER_TLS_VERIFY; the name in DOCKER_HOST must be one that the certificate of the engine bears.'

/** Codes of node and OpenSSL for a certificate that doesn't do, or a partner that speaks no TLS. */
const SAYS_TLS = /^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO$)/

/** What to tell somebody whose engine does not answer. */
export function unreachable(label: string, error: unknown): OperatorError {
  const code = codeOf(error)
  const why = messageOf(causeOf(error) ?? error)
  function tell(what: string, hint: string): OperatorError {
    return new OperatorError(what, why, hint, EXIT.unavailable, { cause: error })
  }
  if (causeOf(error) instanceof SshError) return tell(`Docker can't be reached at ${label}`, MEND_SSH)
  if (code === 'EACCES' || code === 'EPERM') {
    const hint =
      'Add yourself to its group (`sudo usermod -aG docker $USER`, then log in again), or run as a user who may use the socket.'
    return tell(`No permission to use Docker at ${label}`, hint)
  }
  if (SAYS_TLS.test(code ?? '') || /HTTP request to an HTTPS server/i.test(why))
    return tell(`No secure connection to Docker at ${label}`, MEND_TLS)
  return tell(`Docker is not running, or not at ${label}`, START_IT)
}

/** The system's code for why there was no answer. */
export function codeOf(error: unknown): string | undefined {
  const cause = causeOf(error)
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
}

function causeOf(error: unknown): unknown {
  return error instanceof RetryableError ? error.cause : undefined
}
