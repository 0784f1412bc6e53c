import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../core/log.ts'
import { messageOf } from '../core/errors.ts'
import { Database } from './database.ts'
import { DynamoService } from './dynamodb/service.ts'
import { createReactions } from './reactions.ts'
import { listen, type EmbeddedServer } from './server.ts'
import { ObjectStore } from './s3/objects.ts'
import { handleS3 } from './s3/service.ts'
import { ACCOUNT_ID, SqsService } from './sqs/service.ts'
import type { QueueAttributes } from './sqs/queue-attributes.ts'
import { createCredentials, randomPort, readState, writeState, type State } from './state-file.ts'

export const REGION = 'us-east-1'
export const TABLE = 'opthub'
/** The bucket that is there from the beginning. */
export const BUCKET = 'opthub'
/** Of jobs that outlast their message. */
export const LEASE_TABLE = 'opthub-leases'
export const QUEUES = ['evaluator', 'scorer', 'code-exec', 'inference'] as const
export type QueueName = (typeof QUEUES)[number]

const MAX_RECEIVE_COUNT = 10
const VISIBILITY_SECONDS = '60'
const LONGEST_RETENTION_SECONDS = '1209600'
/** How long the kept port is waited for: its last owner may not be quite gone. */
const PORT_PATIENCE_MS = 2000

export interface ServeOptions {
  dataDir: string
  log: Logger
  /** The port to take when none is kept yet. */
  port?: number
  queueAttributes?: Readonly<QueueAttributes>
  maxVisibilitySeconds?: number
}

/** The services, served by this process. */
export interface Serving {
  readonly state: State
  /** Resolves when serving can't go on: the disk refused a write. */
  readonly failed: Promise<Error>
  close(): Promise<void>
}

/** Name of the queue to which a queue's messages go that are received too often. */
export function deadLetterName(queue: QueueName): string {
  return `${queue}-dead-letter`
}

/** Opens the data directory and serves it; throws DatabaseLockedError when another process does. */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { dataDir, log } = options
  const database = await Database.open(join(dataDir, 'database'))
  let server: EmbeddedServer | undefined
  try {
    // From here on no other process of this data directory changes its state.
    const known = await readState(dataDir)
    const credentials = known ?? createCredentials()
    server = await listenSomewhere(known?.port ?? options.port, known !== undefined, credentials, log)
    const state: State = { ...credentials, port: server.port }
    if (known?.port !== state.port) await writeState(dataDir, state)
    const { sqs, dynamodb } = await openServices(database, state, options)
    const objects = await ObjectStore.open(database, join(dataDir, 'objects'))
    await objects.createBucket(BUCKET)
    server.open({
      sqs: (action, request, caller) => sqs.handle(action, request, caller),
      dynamodb: (action, request) => dynamodb.handle(action, request),
      s3: (request, response) => handleS3(objects, state, request, response),
    })
    const opened = server
    return {
      state,
      failed: new Promise((resolve) => (database.onFailure = resolve)),
      async close() {
        await opened.close()
        sqs.stop()
        dynamodb.stop()
        await objects.close()
        await database.close()
      },
    }
  } catch (error) {
    await server?.close()
    await database.close()
    throw error
  }
}

async function openServices(
  database: Database,
  state: State,
  options: ServeOptions,
): Promise<{ sqs: SqsService; dynamodb: DynamoService }> {
  const sqs = await SqsService.load(database, {
    region: REGION,
    baseUrl: () => `http://127.0.0.1:${state.port}`,
    ...(options.maxVisibilitySeconds !== undefined && { maxVisibilitySeconds: options.maxVisibilitySeconds }),
  })
  await Promise.all(
    QUEUES.flatMap((queue) => {
      const target = deadLetterName(queue)
      const redrive = { deadLetterTargetArn: sqs.arnOf(target), maxReceiveCount: MAX_RECEIVE_COUNT }
      const kept = { MessageRetentionPeriod: LONGEST_RETENTION_SECONDS }
      return [
        sqs.ensureQueue(target, kept),
        sqs.ensureQueue(queue, {
          ...kept,
          VisibilityTimeout: VISIBILITY_SECONDS,
          RedrivePolicy: JSON.stringify(redrive),
          ...options.queueAttributes,
        }),
      ]
    }),
  )
  const dynamodb = await DynamoService.load(database, {
    region: REGION,
    accountId: ACCOUNT_ID,
    react: createReactions(TABLE, (queue, body) => sqs.prepareSend(queue, body)),
  })
  await dynamodb.ensureTable(TABLE, 'ID', 'Trial')
  await dynamodb.ensureTable(LEASE_TABLE, 'ID', 'Trial')
  return { sqs, dynamodb }
}

/** Takes `port` if it can be had, else any other one. */
async function listenSomewhere(
  port: number | undefined,
  kept: boolean,
  credentials: { accessKeyId: string; secretAccessKey: string },
  log: Logger,
): Promise<EmbeddedServer> {
  const until = performance.now() + (kept ? PORT_PATIENCE_MS : 0)
  for (let wanted = port ?? randomPort(); ;) {
    try {
      return await listen(wanted, credentials, log)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error
      if (performance.now() < until) {
        await delay(25)
        continue
      }
      if (kept && wanted === port) {
        log.warn('Another program has taken the port of the embedded services; they move to another one', {
          port,
          why: messageOf(error),
        })
      } else if (port !== undefined && wanted === port) {
        throw error
      }
      wanted = randomPort()
    }
  }
}
