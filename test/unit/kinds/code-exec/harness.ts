import { openFiles } from '../../../../src/app/files.ts'
import { createLogger, type LogRecord } from '../../../../src/core/log.ts'
import type { JobContext } from '../../../../src/core/kind.ts'
import { processJob, type Processed } from '../../../../src/core/processor.ts'
import { Timeline } from '../../../../src/core/timeline.ts'
import type { Workdir, WorkdirSpec } from '../../../../src/executors/executor.ts'
import { createCodeExec } from '../../../../src/kinds/code-exec/handler.ts'
import { mergeLanguages } from '../../../../src/kinds/code-exec/languages.ts'
import { parseCodeExecMessage } from '../../../../src/kinds/code-exec/message.ts'
import type { CodeExecServices } from '../../../../src/kinds/code-exec/services.ts'
import { DEFAULT_LIMITS, type CodeExecSettings } from '../../../../src/kinds/code-exec/settings.ts'
import { codeExecKey } from '../../../../src/records/code-exec.ts'
import type { Item } from '../../../../src/stores/store.ts'
import { systemClock } from '../../../../src/core/clock.ts'
import { MemoryStore } from '../../../support/memory-store.ts'
import { ScriptedExecutor, type Script } from '../../../support/scripted-executor.ts'

export const SETTINGS: CodeExecSettings = {
  languages: mergeLanguages({ python: { image: 'py' }, c: { image: 'gcc' } }),
  allowImages: ['own:*'],
  allowInternet: false,
  internet: { dns: [] },
  limits: DEFAULT_LIMITS,
  maxLimits: { ...DEFAULT_LIMITS, memoryBytes: 1024 ** 3, pids: 100, outputBytes: 1024 ** 2 },
  keep: false,
  maxFileBytes: 1024 ** 2,
}

export interface World {
  store: MemoryStore
  executor: ScriptedExecutor
  services: CodeExecServices
  log: LogRecord[]
  /** Working folders that are open now. */
  workdirs: Set<string>
  /** What a working folder's archive is. */
  archive: Buffer
  /** One delivery of a message. */
  deliver(fields: object, job?: Partial<JobContext>): Promise<Processed>
  /** Where the job's result stands. */
  item(id?: string): Item | undefined
}

/** Everything that the kind works with, made of fakes but for the clock. */
export function createWorld(images: Record<string, Script>, settings: Partial<CodeExecSettings> = {}): World {
  const log: LogRecord[] = []
  const store = new MemoryStore()
  const executor = new ScriptedExecutor(images)
  const workdirs = new Set<string>()
  const services: CodeExecServices = {
    store,
    executor,
    workdirs: {
      openWorkdir: (spec: WorkdirSpec): Promise<Workdir> => {
        const id = `workdir-${String(workdirs.size)}`
        workdirs.add(id)
        return Promise.resolve({
          spec,
          id,
          archive: async function* () {
            await Promise.resolve()
            yield world.archive
          },
          [Symbol.asyncDispose]: () => {
            workdirs.delete(id)
            return Promise.resolve()
          },
        })
      },
    },
    files: openFiles({ s3: { region: 'us-east-1' } }),
    seccomp: '{}',
    isImageAllowed: (image, patterns) =>
      patterns.some((pattern) => image.startsWith(pattern.replace('*', ''))),
    clock: systemClock,
    settings: { ...SETTINGS, ...settings },
    cancelPollMs: 5,
    retrySeconds: 60,
  }
  const handler = createCodeExec(services)
  const world: World = {
    store,
    executor,
    services,
    log,
    workdirs,
    archive: Buffer.alloc(1024),
    deliver: async (fields, job = {}) => {
      const body = { id: 'a', language: 'python', code: 'print(1)', ...fields }
      return await processJob(handler, parseCodeExecMessage(JSON.stringify(body)), {
        attempt: 1,
        signal: new AbortController().signal,
        assertHeld: () => undefined,
        log: createLogger((record) => log.push(record), 'DEBUG'),
        timeline: new Timeline(systemClock),
        ...job,
      })
    },
    item: (id = 'a') => {
      const { ID, Trial } = codeExecKey(id)
      return store.items.get(`${ID}|${Trial}`)
    },
  }
  return world
}
