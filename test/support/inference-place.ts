import { SendMessageCommand } from '@aws-sdk/client-sqs'
import { expect } from 'vitest'
import { toPlain } from '../../src/core/json.ts'
import type { EmbeddedInfo } from '../../src/embedded/index.ts'
import { fromAttributes } from '../../src/stores/dynamodb/attributes.ts'
import { toYaml } from './aws-settings.ts'
import { LocalClients } from './local-clients.ts'
import { Workplace, type Run } from './run-bin.ts'

/** The item of a call, as far as tests look at it. */
export interface InferenceItem {
  Status: string
  Output: { choices?: { text: string }[] } | null
  Error: { Type: string; Message: string } | null
  Runtime: { Warm: boolean; Attempt: number; GpuIds: string[] }
  Metrics: { QueueMs: number; ColdStartMs: number | null; PredictMs: number | null }
  StartedAt: string | null
  FinishedAt: string
  LogsTail: string
}

const FINAL = ['succeeded', 'failed', 'canceled', 'aborted']

/** A folder with a config, queue and table that stay, and runners of `inference` that use them. */
export class InferencePlace implements AsyncDisposable {
  readonly work: Workplace
  readonly clients: LocalClients

  private constructor(work: Workplace, clients: LocalClients) {
    this.work = work
    this.clients = clients
  }

  static async open(config: object): Promise<InferencePlace> {
    const base = { pull_policy: 'never', interval: 0.1, wait_time: 1, stop_grace: 1 }
    const work = await Workplace.create(toYaml({ ...base, ...config }))
    const local = work.start(['local', '--json'])
    await expect.poll(() => local.stdout(), { timeout: 30_000 }).toContain('\n')
    return new InferencePlace(work, new LocalClients(JSON.parse(local.stdout()) as EmbeddedInfo))
  }

  runner(args: readonly string[] = [], environment: Record<string, string> = {}): Run {
    return this.work.start(['inference', '--local', '--json', ...args], environment)
  }

  /** Puts messages on the queue as they are: texts, or what becomes JSON. */
  async send(...messages: (string | object)[]): Promise<void> {
    for (const message of messages) {
      const MessageBody = typeof message === 'string' ? message : JSON.stringify(message)
      await this.clients.sqs.send(
        new SendMessageCommand({ QueueUrl: this.clients.info.queues.inference, MessageBody }),
      )
    }
  }

  async depth(): Promise<{ waiting: number; inFlight: number }> {
    return await this.clients.depth(this.clients.info.queues.inference)
  }

  async item(id: string): Promise<InferenceItem | undefined> {
    const found = await this.clients.get(`Inferences#${id}`, 'Job')
    if (found === undefined) return undefined
    const values = Object.entries(fromAttributes(found)).map(([name, value]) => [name, toPlain(value)])
    return Object.fromEntries(values) as InferenceItem
  }

  /** The item of a job once it has ended. */
  async result(id: string, timeout = 60_000): Promise<InferenceItem> {
    await expect
      .poll(async () => FINAL.includes((await this.item(id))?.Status ?? ''), { timeout, interval: 100 })
      .toBe(true)
    const item = await this.item(id)
    if (item === undefined) throw new Error(`${id} has gone`)
    return item
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.clients.close()
    await this.work[Symbol.asyncDispose]()
  }
}

/** The text of the first choice. */
export function textOf({ Output }: InferenceItem): string | undefined {
  return Output?.choices?.[0]?.text
}
