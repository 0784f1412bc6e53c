import { openFiles } from '../../../src/app/files.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { createDockerExecutor } from '../../../src/executors/docker/docker-executor.ts'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import { importHostNodeImage } from '../../../src/executors/docker/images/host-image.ts'
import { hostPrograms, hostPython, unique } from '../../../src/executors/docker/images/host-programs.ts'
import { importImage } from '../../../src/executors/docker/images/import-image.ts'
import { isAllowed } from '../../../src/executors/docker/images/reference.ts'
import { SECCOMP_PROFILE } from '../../../src/executors/docker/walls/seccomp.ts'
import type { Executor } from '../../../src/executors/executor.ts'
import { createWarmPool } from '../../../src/executors/warm-pool.ts'
import { runCodeExec, type RunOptions } from '../../../src/kinds/code-exec/execute.ts'
import { mergeLanguages } from '../../../src/kinds/code-exec/languages.ts'
import { parseCodeExecMessage } from '../../../src/kinds/code-exec/message.ts'
import type { CodeExecEngine } from '../../../src/kinds/code-exec/services.ts'
import { DEFAULT_LIMITS, type CodeExecSettings } from '../../../src/kinds/code-exec/settings.ts'
import type { CodeExecOutcome } from '../../../src/records/code-exec.ts'
import { shellEntries } from '../../support/images.ts'

export const IMAGE = 'opthub-runner-test/code-exec:1'
export const NODE_IMAGE = 'opthub-runner-test/code-exec-node:1'

/** Programs run in a real engine, as the kind runs them. */
export interface Sandbox {
  engine: CodeExecEngine
  processName: string
  log: LogRecord[]
  run(fields: object, options?: Partial<RunOptions>, other?: Executor): Promise<CodeExecOutcome>
  close(): Promise<void>
}

export async function openSandbox(
  engine: Engine,
  { isWarm = false, ...settings }: Partial<CodeExecSettings> & { isWarm?: boolean } = {},
): Promise<Sandbox> {
  await makeImages(engine)
  const records: LogRecord[] = []
  const log = createLogger((record) => records.push(record), 'DEBUG')
  const processName = `test-${crypto.randomUUID()}`
  const docker = createDockerExecutor({ engine, processName, log, environment: {}, pullPolicy: 'never' })
  const drain = new AbortController()
  const warm = { perSlot: 1, slots: 1, idleMs: 60_000, jobs: 0, drain: drain.signal, clock: systemClock, log }
  const executor: Executor = isWarm ? createWarmPool(docker, warm) : docker
  const services: CodeExecEngine = {
    executor,
    workdirs: docker,
    files: openFiles({ s3: { region: 'us-east-1' } }),
    seccomp: SECCOMP_PROFILE,
    isImageAllowed: isAllowed,
    clock: systemClock,
    settings: {
      languages: mergeLanguages({
        python: { image: IMAGE },
        bash: { image: IMAGE },
        node: { image: NODE_IMAGE },
        // Its "compiler" is a shell, which is enough to see the way that the code goes.
        c: {
          image: IMAGE,
          compile: [
            'sh',
            '-c',
            'grep -q "int main" main.c || { echo "no main" >&2; exit 1; }; { echo "#!/bin/bash"; sed -n "s,^// ,,p" main.c; } > program; chmod +x program',
          ],
        },
        own: { image: IMAGE, command: ['bash', 'job.sh'], file: 'job.sh' },
        input: { image: IMAGE, command: ['python3', '-'] },
        script: { image: IMAGE, file: 'build.sh', compile: ['sh', 'build.sh'], command: ['./program'] },
        ownScript: { image: IMAGE, file: 'build.sh', compile: ['./build.sh'], command: ['./program'] },
        lacking: { image: IMAGE, file: 'a.x', compile: ['nosuchcompiler', 'a.x'], command: ['./program'] },
      }),
      allowImages: [`${IMAGE.split(':')[0] ?? ''}*`],
      allowInternet: false,
      internet: { dns: [] },
      limits: DEFAULT_LIMITS,
      maxLimits: { ...DEFAULT_LIMITS, wallTimeMs: 60_000, outputBytes: 16 * 1024 ** 2 },
      keep: false,
      maxFileBytes: 16 * 1024 ** 2,
      ...settings,
    },
  }
  return {
    engine: services,
    processName,
    log: records,
    run: async (fields, options = {}, other = executor) => {
      const body = {
        id: crypto.randomUUID(),
        ...('image' in fields ? {} : { language: 'python' }),
        code: '',
        ...fields,
      }
      const message = parseCodeExecMessage(JSON.stringify(body))
      if ('problem' in message) throw new Error(message.problem)
      return await runCodeExec(
        message.request,
        { ...services, executor: other },
        {
          signal: new AbortController().signal,
          log,
          ...options,
        },
      )
    },
    close: () => executor.close(),
  }
}

async function makeImages(engine: Engine): Promise<void> {
  const { entries: python, environment } = await hostPython()
  const tools = ['bash', 'base64', 'tar', 'sed', 'grep', 'ln', 'mkfifo', 'cp']
  const entries = unique([...(await shellEntries('true')), ...(await hostPrograms(tools)), ...python])
  await importImage(engine, { tag: IMAGE, entries, command: ['/bin/sh'], environment })
  await importHostNodeImage(engine, {
    tag: NODE_IMAGE,
    files: {},
    command: ['node'],
    nodePath: process.execPath,
  })
}
