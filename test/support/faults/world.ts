import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { createCleanup, type Cleanup } from '../../../src/core/cleanup.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { openEmbedded } from '../../../src/embedded/index.ts'
import { connectEngine } from '../../../src/executors/docker/api/connect.ts'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import { startPrivateEngine, type PrivateEngine } from '../engine.ts'
import { LocalClients } from '../local-clients.ts'
import { AwsFront } from './aws-front.ts'
import { EngineFront } from './engine-front.ts'
import { Runner, type RunnerOptions } from './runner.ts'

export interface WorldOptions {
  /** Further lines of the runners' config.yml. */
  config: string
  /** Further arguments of dockerd. */
  engineArgs?: readonly string[]
  /** Longest time in flight that the queues allow, in seconds; default SQS's 12 hours. */
  longestFlightSeconds?: number
  /** Receives after which a message goes to the dead-letter queue; default 10. */
  maxReceives?: number
  /** Changes the seconds of each ChangeMessageVisibility on its way. */
  visibility?: (seconds: number) => number
}

interface Parts {
  folder: string
  dockerd: PrivateEngine
  engine: Engine
  engineFront: EngineFront
  aws: LocalClients
  awsFront: AwsFront
}

/** An engine, queues and a table of its own, each behind a front, and the runner processes that use them. */
export class World implements AsyncDisposable {
  readonly runners: Runner[] = []
  readonly folder: string
  readonly dockerd: PrivateEngine
  /** To the engine itself, past its front. */
  readonly engine: Engine
  readonly engineFront: EngineFront
  /** To the queues and the table themselves, past their front. */
  readonly aws: LocalClients
  readonly awsFront: AwsFront
  readonly #cleanup: Cleanup

  private constructor(parts: Parts, cleanup: Cleanup) {
    this.folder = parts.folder
    this.dockerd = parts.dockerd
    this.engine = parts.engine
    this.engineFront = parts.engineFront
    this.aws = parts.aws
    this.awsFront = parts.awsFront
    this.#cleanup = cleanup
  }

  static async create(options: WorldOptions): Promise<World> {
    const trouble: LogRecord[] = []
    const cleanup = createCleanup(createLogger((record) => trouble.push(record), 'WARNING'))
    try {
      return new World(await build(options, cleanup), cleanup)
    } catch (error) {
      await cleanup.run()
      throw error
    }
  }

  /** Starts a runner process on the fronts. */
  startRunner(options: Pick<RunnerOptions, 'kind' | 'name' | 'args'>): Runner {
    const environment = {
      PATH: process.env['PATH'] ?? '',
      HOME: this.folder,
      TMPDIR: join(this.folder, 'tmp'),
      OPTHUB_RUNNER_HOME: join(this.folder, 'home'),
      DOCKER_HOST: this.engineFront.host,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
    }
    const runner = new Runner({ ...options, folder: this.folder, environment })
    this.runners.push(runner)
    return runner
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.runners.map((runner) => runner.kill()))
    await this.#cleanup.run()
  }
}

async function build(options: WorldOptions, cleanup: Cleanup): Promise<Parts> {
  // Short, since it holds sockets.
  const folder = await mkdtemp(join(tmpdir(), 'ow-'))
  cleanup.defer('folder', () => rm(folder, { recursive: true, force: true }))
  await mkdir(join(folder, 'tmp'))
  const dockerd = await startPrivateEngine({ args: options.engineArgs ?? [] })
  cleanup.defer('engine', async () => {
    await dockerd[Symbol.asyncDispose]()
  })
  const engine = await connectEngine({ host: dockerd.host, environment: {} })
  cleanup.defer('connection', () => {
    engine.close()
  })
  const engineFront = await EngineFront.start({ path: join(folder, 'd.sock'), upstream: dockerd.socketPath })
  cleanup.defer('front of the engine', () => engineFront[Symbol.asyncDispose]())

  const { longestFlightSeconds, maxReceives, visibility } = options
  const embedded = await openEmbedded({
    dataDir: join(folder, 'embedded'),
    log: createLogger(() => undefined),
    ...(longestFlightSeconds === undefined ? {} : { maxVisibilityRenewalSeconds: longestFlightSeconds }),
  })
  cleanup.defer('queues and table', () => embedded.close())
  const aws = new LocalClients(embedded.info)
  cleanup.defer('clients', () => {
    aws.close()
  })
  if (maxReceives !== undefined) await setMaxReceives(aws, maxReceives)
  const { accessKeyId, secretAccessKey, endpoints, queues, table, region } = embedded.info
  const awsFront = await AwsFront.start({
    upstream: endpoints.sqs,
    key: { accessKeyId, secretAccessKey },
    ...(visibility === undefined ? {} : { visibility }),
  })
  cleanup.defer('front of AWS', () => awsFront[Symbol.asyncDispose]())

  const behind = (url: string): string => `${awsFront.url}${new URL(url).pathname}`
  const config = `evaluator_queue_url: ${behind(queues.evaluator)}
scorer_queue_url: ${behind(queues.scorer)}
endpoint_url: ${awsFront.url}
table_name: ${table}
region_name: ${region}
access_key_id: anybody
secret_access_key: any
pull_policy: never
${options.config}`
  await writeFile(join(folder, 'config.yml'), config, { mode: 0o600 })
  return { folder, dockerd, engine, engineFront, aws, awsFront }
}

async function setMaxReceives(aws: LocalClients, maxReceiveCount: number): Promise<void> {
  for (const kind of ['evaluator', 'scorer'] as const) {
    const deadLetterTargetArn = `arn:aws:sqs:${aws.info.region}:000000000000:${kind}-dead-letter`
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount })
    await aws.sqs.send(
      new SetQueueAttributesCommand({ QueueUrl: aws.info.queues[kind], Attributes: { RedrivePolicy } }),
    )
  }
}
