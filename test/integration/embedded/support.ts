import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { SQSClient } from '@aws-sdk/client-sqs'
import type { OutgoingHttpHeaders } from 'node:http'
import { onTestFinished } from 'vitest'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { openEmbedded, type Embedded, type EmbeddedInfo } from '../../../src/embedded/index.ts'

/** What a test sets besides the folder and the log. */
export type Knobs = Partial<
  Pick<Parameters<typeof openEmbedded>[0], 'queueAttributes' | 'maxVisibilityRenewalSeconds' | 'port'>
>

/** A folder that goes when the test ends. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'embedded-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export interface Opened {
  embedded: Embedded
  dataDir: string
  sqs: SQSClient
  dynamodb: DynamoDBClient
  log: LogRecord[]
}

/** The embedded services in `dataDir` (a fresh one when left out) with clients; all closed when the test ends. */
export async function open(knobs: Knobs = {}, dataDir?: string): Promise<Opened> {
  const folder = dataDir ?? (await temporaryFolder())
  const log: LogRecord[] = []
  const embedded = await openEmbedded({
    dataDir: folder,
    log: createLogger((record) => log.push(record), 'DEBUG'),
    ...knobs,
  })
  onTestFinished(() => embedded.close())
  return { embedded, dataDir: folder, log, ...clients(embedded.info) }
}

/** AWS clients as the product would make them, destroyed when the test ends. */
export function clients(
  info: EmbeddedInfo,
  overrides: { accessKeyId?: string; secretAccessKey?: string; maxAttempts?: number } = {},
): { sqs: SQSClient; dynamodb: DynamoDBClient } {
  const {
    accessKeyId = info.accessKeyId,
    secretAccessKey = info.secretAccessKey,
    maxAttempts = 5,
  } = overrides
  const common = { region: info.region, credentials: { accessKeyId, secretAccessKey }, maxAttempts }
  const sqs = new SQSClient({ ...common, endpoint: info.endpoints.sqs })
  const dynamodb = new DynamoDBClient({ ...common, endpoint: info.endpoints.dynamodb })
  onTestFinished(() => {
    sqs.destroy()
    dynamodb.destroy()
  })
  return { sqs, dynamodb }
}

/** An error's name and text, as a caller of the SDK sees them; fails when there is none. */
export async function failureOf(
  promise: Promise<unknown>,
): Promise<{ name: string; code: unknown; message: string; status: unknown }> {
  try {
    await promise
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const { $metadata: metadata, Code: code } = error as {
      $metadata?: { httpStatusCode?: number }
      Code?: unknown
    }
    return { name: error.name, code, message: error.message, status: metadata?.httpStatusCode }
  }
  throw new Error('it was expected to fail')
}

/** The request that the AWS client would send in `act`, signed, to be sent by hand. */
export async function signed(
  info: EmbeddedInfo,
  act: (sqs: SQSClient) => Promise<unknown>,
  target?: string,
): Promise<{ headers: OutgoingHttpHeaders; body: string }> {
  const { sqs } = clients(info, { maxAttempts: 1 })
  let recorded: { headers: Record<string, string>; body: string } | undefined
  sqs.middlewareStack.add(
    (next) => (args) => {
      const request = args.request as { headers: Record<string, string> }
      if (target !== undefined) request.headers['x-amz-target'] = target
      return next(args)
    },
    { step: 'build', priority: 'low' },
  )
  sqs.middlewareStack.add(
    () => (args) => {
      recorded = args.request as { headers: Record<string, string>; body: string }
      throw new Error('recorded, not sent')
    },
    { step: 'deserialize', priority: 'low' },
  )
  await act(sqs).catch(() => undefined)
  if (recorded === undefined) throw new Error('nothing was signed')
  // Its length is set anew for whatever is sent in the end.
  const headers = Object.entries(recorded.headers).filter(([name]) => name !== 'content-length')
  return { headers: Object.fromEntries(headers), body: recorded.body }
}
