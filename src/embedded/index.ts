import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { EXIT, messageOf, OperatorError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { makeFolder } from '../core/make-folder.ts'
import { Membership, UnansweredError } from './membership.ts'
import { BUCKET, deadLetterName, LEASE_TABLE, QUEUES, REGION, TABLE, type QueueName } from './serve.ts'
import { ACCOUNT_ID } from './sqs/service.ts'

/** What a client needs to use the embedded services. */
export interface EmbeddedInfo {
  endpoints: { sqs: string; dynamodb: string; s3: string }
  region: string
  accessKeyId: string
  secretAccessKey: string
  /** URLs. */
  queues: Record<QueueName, string>
  deadLetterQueues: Record<QueueName, string>
  table: typeof TABLE
  bucket: typeof BUCKET
  /** Where runners keep the lease records of long jobs. */
  leaseTable: typeof LEASE_TABLE
}

export interface Embedded {
  /** Stays the same for as long as the data directory lives, unless another program takes the port. */
  readonly info: EmbeddedInfo
  /** True while this process serves. */
  serving(): boolean
  /** Ends this process's part; another one that has the data directory open takes over. */
  close(): Promise<void>
}

export interface EmbeddedOptions {
  /** A folder of its own; created, and closed to others. */
  dataDir: string
  log: Logger
  /** The port to take in a new data directory; a random one when left out. */
  port?: number
  /** For tests: what the four queues are created with besides their defaults, by AWS's attribute names. */
  queueAttributes?: Readonly<Record<string, string>>
  /** For tests: the longest time in flight counted from the receive (SQS: 12 h). */
  maxVisibilityRenewalSeconds?: number
}

/** Where in the data folder the services live: a folder of their own, since they close it to others. */
export function embeddedFolder(dataFolder: string): string {
  return join(dataFolder, 'embedded')
}

/**
 * Serves SQS, DynamoDB and S3 on loopback from a data directory, or joins the process that serves it already and takes
 * over when that one ends. Throws OperatorError.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { dataDir, log, port, queueAttributes, maxVisibilityRenewalSeconds } = options
  try {
    await makeFolder(dataDir, 0o700)
    await chmod(dataDir, 0o700)
    const membership = await Membership.open({
      dataDir,
      log,
      ...(port !== undefined && { port }),
      ...(queueAttributes !== undefined && { queueAttributes }),
      ...(maxVisibilityRenewalSeconds !== undefined && { maxVisibilitySeconds: maxVisibilityRenewalSeconds }),
    })
    return {
      get info() {
        return describe(membership)
      },
      serving: () => membership.serving,
      close: () => membership.close(),
    }
  } catch (error) {
    throw new OperatorError(
      `Cannot open the embedded services in ${dataDir}`,
      messageOf(error),
      hintFor(error),
      EXIT.failedStart,
      {
        cause: error,
      },
    )
  }
}

function describe(membership: Membership): EmbeddedInfo {
  const { port, accessKeyId, secretAccessKey } = membership.state
  const url = `http://127.0.0.1:${port}`
  const urls = (nameOf: (queue: QueueName) => string): Record<QueueName, string> =>
    Object.fromEntries(QUEUES.map((queue) => [queue, `${url}/${ACCOUNT_ID}/${nameOf(queue)}`])) as Record<
      QueueName,
      string
    >
  return {
    endpoints: { sqs: url, dynamodb: url, s3: url },
    region: REGION,
    accessKeyId,
    secretAccessKey,
    queues: urls((queue) => queue),
    deadLetterQueues: urls(deadLetterName),
    table: TABLE,
    bucket: BUCKET,
    leaseTable: LEASE_TABLE,
  }
}

function hintFor(error: unknown): string {
  if (error instanceof UnansweredError) {
    return 'Another process has this folder open without serving it: end that process, or choose another folder by OPTHUB_RUNNER_HOME.'
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE' || code === 'EACCES') {
    return 'Choose another port, and check that the folder may be written.'
  }
  return 'Check that the folder can be written and its disk is not full, or choose another one by OPTHUB_RUNNER_HOME.'
}
