import type { AwsConnection } from '../aws/client-options.ts'
import type { Inspection } from '../aws/inspection.ts'
import type { Config } from '../config/schema.ts'
import type { Probe } from '../core/breaker.ts'
import { createCleanup, type Cleanup } from '../core/cleanup.ts'
import { systemClock } from '../core/clock.ts'
import { EXIT, OperatorError } from '../core/errors.ts'
import type { LeaseRecords } from '../core/lease-record.ts'
import type { EmbeddedInfo } from '../embedded/index.ts'
import type { TableKindName } from '../kinds/names.ts'
import type { Queue } from '../queues/queue.ts'
import type { QueueReport } from '../queues/sqs/inspect.ts'
import type { TableReport } from '../stores/dynamodb/inspect.ts'
import type { LeaseTable } from '../stores/dynamodb/lease-records.ts'
import type { Store } from '../stores/store.ts'
import { atEndpoint, configuredAws } from './aws.ts'
import type { TableOptions } from './options.ts'
import { together } from './together.ts'

/** The table and the queues of one place. */
export interface Table {
  store: Store
  queue(kind: TableKindName): Queue
  /** A stored Solution puts its message on the evaluator's queue by itself. */
  reactive: boolean
  close(): Promise<void>
}

export type { Inspection, QueueReport, TableReport }

/** Asks about queues and table, for somebody who looks for mistakes: touches no message and reads no item. */
export interface Inspector {
  /** Throws OperatorError when the config names none, and the signal's reason. */
  queue(kind: TableKindName, signal: AbortSignal): Promise<Inspection<QueueReport>>
  table(signal: AbortSignal): Promise<Inspection<TableReport>>
  close(): Promise<void>
}

/** What is spoken to: AWS, another server of its protocols, or our own on loopback. */
interface Place {
  sqs: AwsConnection
  dynamodb: AwsConnection
  s3: AwsConnection
  tableName: string
  /** Where lease records are kept; undefined = nowhere. */
  leaseTable: string | undefined
  queueUrl(kind: TableKindName): string
  reactive: boolean
}

/** Opens the table and its queues, for submitting and reading. Close it afterwards. */
export async function openTable(options: TableOptions): Promise<Table> {
  const cleanup = createCleanup(options.log)
  try {
    return { ...(await connectTable(options, cleanup)), close: () => cleanup.run() }
  } catch (error) {
    await cleanup.run()
    throw error
  }
}

/** Finds what the config names, or opens the servers of this machine. Close it afterwards. */
export async function openInspector(options: TableOptions): Promise<Inspector> {
  const cleanup = createCleanup(options.log)
  try {
    const [place, { inspectQueue }, { inspectTable }] = await together([
      options.local ? localPlace(options, cleanup) : configuredPlace(options),
      import('../queues/sqs/inspect.ts'),
      import('../stores/dynamodb/inspect.ts'),
    ])
    return {
      queue: async (kind, signal) =>
        await inspectQueue({ ...place.sqs, queueUrl: place.queueUrl(kind) }, signal),
      table: async (signal) => await inspectTable({ ...place.dynamodb, tableName: place.tableName }, signal),
      close: () => cleanup.run(),
    }
  } catch (error) {
    await cleanup.run()
    throw error
  }
}

/** What a runner knows of its place besides. */
export type RunnerTable = Omit<Table, 'close'> & {
  leases: Leases | undefined
  /** How the files of that place are asked for. */
  s3: AwsConnection
}

/** With a kind, its runner's: results are then fenced by the lease records, where there are any. */
export async function connectTable(
  options: TableOptions,
  cleanup: Cleanup,
  kind?: TableKindName,
): Promise<RunnerTable> {
  const { config } = options
  const [place, { createDynamoDbStore }, { createSqsQueue }] = await together([
    options.local ? localPlace(options, cleanup) : configuredPlace(options),
    import('../stores/dynamodb/dynamodb-store.ts'),
    import('../queues/sqs/sqs-queue.ts'),
  ])
  const { tableName, leaseTable } = place
  const fence = kind === undefined || leaseTable === undefined ? undefined : { tableName: leaseTable, kind }
  const store = createDynamoDbStore({ ...place.dynamodb, tableName, ...(fence && { leaseTable: fence }) })
  cleanup.defer('table', () => {
    store.close()
  })
  return {
    store,
    s3: place.s3,
    leases: fence && (await connectLeases(place, fence, config, cleanup)),
    reactive: place.reactive,
    queue: (kind) => {
      const queue = createSqsQueue({
        ...place.sqs,
        queueUrl: place.queueUrl(kind),
        waitSeconds: config.wait_time,
        visibilitySeconds: config.visibility_timeout,
        clock: systemClock,
      })
      cleanup.defer('queue', () => {
        queue.close()
      })
      return queue
    },
  }
}

/** Lease records, and whether they can be had. */
export type Leases = LeaseRecords & { probe: Probe }

async function connectLeases(
  place: Place,
  fence: LeaseTable,
  config: Config,
  cleanup: Cleanup,
): Promise<Leases> {
  const { createLeaseRecords } = await import('../stores/dynamodb/lease-records.ts')
  const leases = createLeaseRecords({ ...place.dynamodb, ...fence, holdSeconds: config.visibility_timeout })
  cleanup.defer('lease table', () => {
    leases.close()
  })
  return leases
}

/** The embedded servers: joined when another process serves them, else served from here. */
async function localPlace({ dataDir, log }: TableOptions, cleanup: Cleanup): Promise<Place> {
  const { embeddedFolder, openEmbedded } = await import('../embedded/index.ts')
  const embedded = await openEmbedded({ dataDir: embeddedFolder(dataDir), log })
  cleanup.defer('embedded servers', () => embedded.close())
  return embeddedPlace(embedded.info)
}

function embeddedPlace(info: EmbeddedInfo): Place {
  const { accessKeyId, secretAccessKey, region } = info
  const connection = { region, credentials: { accessKeyId, secretAccessKey } }
  return {
    sqs: { ...connection, endpoint: info.endpoints.sqs },
    dynamodb: { ...connection, endpoint: info.endpoints.dynamodb },
    s3: { ...connection, endpoint: info.endpoints.s3 },
    tableName: info.table,
    leaseTable: info.leaseTable,
    queueUrl: (kind) => info.queues[kind],
    reactive: true,
  }
}

async function configuredPlace(options: TableOptions): Promise<Place> {
  const { config } = options
  const { sqs, dynamodb, s3 } = config.endpoint_url
  const { throughProxy } = await import('../aws/proxy.ts')
  const connection = await configuredAws(options)
  const urls: Record<TableKindName, readonly [key: string, url: string | undefined]> = {
    evaluator: ['evaluator_queue_url', config.evaluator_queue_url],
    scorer: ['scorer_queue_url', config.scorer_queue_url],
    'code-exec': ['code_exec.queue_url', config.code_exec.queue_url],
    inference: ['inference.queue_url', config.inference.queue_url],
  }
  return {
    sqs: await throughProxy(atEndpoint(connection, sqs), 'sqs'),
    dynamodb: await throughProxy(atEndpoint(connection, dynamodb), 'dynamodb'),
    s3: atEndpoint(connection, s3),
    get tableName() {
      return required('table_name', config.table_name)
    },
    leaseTable: config.lease_table,
    queueUrl: (kind) => required(...urls[kind]),
    reactive: false,
  }
}

function required(key: string, value: string | undefined): string {
  if (value !== undefined) return value
  throw new OperatorError(
    `${key} is missing`,
    'the config does not set it',
    `Set ${key} in the config file, or use --local.`,
    EXIT.config,
  )
}
