import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { AwsConnection } from '../src/aws/client-options.ts'
import { systemClock } from '../src/core/clock.ts'
import { fromPlain } from '../src/core/json.ts'
import type { EmbeddedInfo } from '../src/embedded/index.ts'
import type { Queue } from '../src/queues/queue.ts'
import { createSqsQueue } from '../src/queues/sqs/sqs-queue.ts'
import type { Trial } from '../src/records/keys.ts'
import { solutionItem } from '../src/records/solution.ts'
import { createDynamoDbStore } from '../src/stores/dynamodb/dynamodb-store.ts'
import type { Item, Store } from '../src/stores/store.ts'

/** The package's root, seen from where the bench is compiled to. */
const BIN = resolve(process.cwd(), 'bin/opthub-runner.js')

export const MATCH = '11111111-2222-3333-4444-555555555555'

/** The solution of a participant's n-th trial. */
export function solutionOf(participantId: string, n: number): { trial: Trial; item: Item } {
  const trial = { matchId: MATCH, participantId, trialNo: String(n).padStart(5, '0') }
  const variable = fromPlain([0.5, n / 7, 1e-3])
  return { trial, item: solutionItem(trial, { userId: 'User#1', variable, createdAt: new Date() }) }
}

/** The embedded servers in a process of their own, as `opthub-runner local` serves them. */
export class Stage implements AsyncDisposable {
  readonly home: string
  readonly info: EmbeddedInfo
  readonly queue: Queue
  readonly store: Store
  readonly #child: ChildProcess

  private constructor(home: string, info: EmbeddedInfo, child: ChildProcess) {
    const { region, accessKeyId, secretAccessKey } = info
    const connection = (endpoint: string): AwsConnection => ({
      endpoint,
      region,
      credentials: { accessKeyId, secretAccessKey },
    })
    this.home = home
    this.info = info
    this.queue = createSqsQueue({
      ...connection(info.endpoints.sqs),
      queueUrl: info.queues.evaluator,
      waitSeconds: 5,
      visibilitySeconds: 60,
      clock: systemClock,
    })
    this.store = createDynamoDbStore({ ...connection(info.endpoints.dynamodb), tableName: info.table })
    this.#child = child
  }

  static async open(): Promise<Stage> {
    const home = await mkdtemp(join(tmpdir(), 'opthub-runner-bench-'))
    const child = spawn(process.execPath, [BIN, 'local', '--json'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, OPTHUB_RUNNER_HOME: home },
    })
    const lines = createInterface({ input: child.stdout })
    const [line] = (await once(lines, 'line')) as [string]
    return new Stage(home, JSON.parse(line) as EmbeddedInfo, child)
  }

  /** Stores a solution; its message follows by itself. */
  async submit(participantId: string, n: number): Promise<Trial> {
    const { trial, item } = solutionOf(participantId, n)
    await this.store.put([item], { ID: item['ID'] as string, Trial: trial.trialNo })
    return trial
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.queue.close()
    this.store.close()
    this.#child.kill('SIGTERM')
    if (this.#child.exitCode === null) await once(this.#child, 'exit')
    await rm(this.home, { recursive: true, force: true })
  }
}
