import { systemClock } from '../../../../src/core/clock.ts'
import type { JobContext } from '../../../../src/core/kind.ts'
import { createLogger, type LogRecord } from '../../../../src/core/log.ts'
import { processJob, type Processed } from '../../../../src/core/processor.ts'
import { Timeline } from '../../../../src/core/timeline.ts'
import { createKeptPool } from '../../../../src/executors/kept-pool.ts'
import { FileError, type Files } from '../../../../src/files/files.ts'
import { createInference } from '../../../../src/kinds/inference/handler.ts'
import { parseInferenceMessage } from '../../../../src/kinds/inference/message.ts'
import type { InferenceServices } from '../../../../src/kinds/inference/services.ts'
import type { ModelSession } from '../../../../src/kinds/inference/session.ts'
import type { InferenceSettings } from '../../../../src/kinds/inference/settings.ts'
import type { ModelServer } from '../../../../src/models/protocol.ts'
import { inferenceKey } from '../../../../src/records/inference.ts'
import type { Item } from '../../../../src/stores/store.ts'
import { MemoryStore } from '../../../support/memory-store.ts'
import { ScriptedExecutor, type Script } from '../../../support/scripted-executor.ts'

export const SETTINGS: InferenceSettings = {
  mode: 'oneshot',
  protocol: 'openai',
  allowImages: true,
  env: {},
  server: { port: 8000, maxConcurrency: 1 },
  startupTimeoutMs: 5000,
  keepAliveMs: 5000,
  timeoutMs: 5000,
  sizes: {},
  maxSizes: {},
  limits: {},
  keep: false,
  stopGraceSeconds: 0,
  maxOutputBytes: 16 * 1024 ** 2,
  maxTotalOutputBytes: 1024 ** 3,
  strictExit: false,
  maxFileBytes: 1024 ** 2,
}

export interface World {
  store: MemoryStore
  executor: ScriptedExecutor
  services: InferenceServices
  log: LogRecord[]
  /** What stands where: address → content. */
  places: Map<string, string>
  /** One delivery of a message. */
  deliver(fields: object, job?: Partial<JobContext>): Promise<Processed>
  /** Where the job's result stands. */
  item(id?: string): Item | undefined
}

/** Everything that the kind works with, made of fakes but for the clock and the pool. */
export function createWorld(
  images: Record<string, Script>,
  settings: Partial<InferenceSettings> = {},
  server?: ModelServer,
): World {
  const log: LogRecord[] = []
  const logger = createLogger((record) => log.push(record), 'DEBUG')
  const store = new MemoryStore()
  const executor = new ScriptedExecutor(images)
  const places = new Map<string, string>()
  const services: InferenceServices = {
    store,
    executor,
    pool: createKeptPool<ModelSession>({
      executor,
      maxWarm: { gpu: 1, cpu: 3 },
      clock: systemClock,
      log: logger,
    }),
    protocol: () => Promise.reject(new Error('no server here')),
    existing: () =>
      server === undefined ? Promise.reject(new Error('no server here')) : Promise.resolve(server),
    files: memoryFiles(places),
    isImageAllowed: (image, patterns) =>
      patterns.some((pattern) => image.startsWith(pattern.replace('*', ''))),
    clock: systemClock,
    settings: { ...SETTINGS, ...settings },
    cancelPollMs: 5,
    worker: 'tester',
  }
  const handler = createInference(services)
  return {
    store,
    executor,
    services,
    log,
    places,
    deliver: async (fields, job = {}) => {
      const body = { id: 'a', image: 'echo', ...fields }
      return await processJob(handler, parseInferenceMessage(JSON.stringify(body)), {
        attempt: 1,
        signal: new AbortController().signal,
        assertHeld: () => undefined,
        log: logger,
        timeline: new Timeline(systemClock),
        ...job,
      })
    },
    item: (id = 'a') => {
      const { ID, Trial } = inferenceKey(id)
      return store.items.get(`${ID}|${Trial}`)
    },
  }
}

function memoryFiles(places: Map<string, string>): Files {
  return {
    download: () => Promise.resolve(),
    upload: () => Promise.resolve([]),
    readBytes: (url) => {
      const found = places.get(url)
      return found === undefined
        ? Promise.reject(new FileError('not_found', '', `${url} does not exist`))
        : Promise.resolve(Buffer.from(found))
    },
    writeBytes: (url, data) => {
      places.set(url, Buffer.from(data).toString())
      return Promise.resolve()
    },
    assertUsable: () => Promise.resolve(),
    close: () => undefined,
  }
}

/** A model that repeats its prompt. */
export const ECHO: Script = (input) => {
  const { prompt } = JSON.parse(input) as { prompt?: string }
  return { stdout: `${JSON.stringify({ choices: [{ text: `${prompt ?? ''}!` }] })}\n`, stderr: 'loaded\n' }
}
