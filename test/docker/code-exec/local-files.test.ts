import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runRunner } from '../../../src/app.ts'
import { openFiles } from '../../../src/app/files.ts'
import { connectTable, type RunnerTable } from '../../../src/app/table.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { createCleanup } from '../../../src/core/cleanup.ts'
import { fromPlain, toPlain } from '../../../src/core/json.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import { createStop } from '../../../src/core/stop.ts'
import type { Files } from '../../../src/files/files.ts'
import { codeExecKey } from '../../../src/records/code-exec.ts'
import { resultKey } from '../../../src/records/keys.ts'
import { solutionItem } from '../../../src/records/solution.ts'
import type { Item } from '../../../src/stores/store.ts'
import { requireEngine } from '../../support/engine.ts'
import { hasPython } from '../../support/images.ts'
import { IMAGE, openSandbox } from './sandbox.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())
const signal = new AbortController().signal
const TRIAL = { matchId: crypto.randomUUID(), participantId: 'Team#1', trialNo: '00001' }
const READ = 'print(\'{"objective": \' + open("/files/in/data").read() + "}")'

describe.skipIf(!isRunnable)('a runner with its own servers', () => {
  const records: LogRecord[] = []
  const log = createLogger((record) => records.push(record), 'DEBUG')
  const cleanup = createCleanup(log)
  const inputs = [{ path: 'in/data', url: 's3://opthub/data' }]
  const config = configSchema.parse({
    pull_policy: 'never',
    wait_time: 1,
    visibility_timeout: 20,
    heartbeat_interval: 5,
    code_exec: { languages: { python: { image: IMAGE } } },
    matches: { '*': { problem: { image: IMAGE, command: ['python3', '-c', READ], inputs } } },
  })
  let folder: string
  let table: RunnerTable
  let files: Files

  beforeAll(async () => {
    if (engine === undefined) return
    await (await openSandbox(engine)).close()
    folder = await mkdtemp(join(tmpdir(), 'local-files-'))
    table = await connectTable({ config, local: true, dataDir: folder, log }, cleanup)
    files = openFiles({ s3: table.s3 })
    await files.writeBytes('s3://opthub/data', Buffer.from('42'), { signal })
  })
  afterAll(async () => {
    files.close()
    await cleanup.run()
    await rm(folder, { recursive: true, force: true })
  })

  async function runOne(kind: 'code-exec' | 'evaluator'): Promise<void> {
    const stop = createStop({ graceMs: 1000 })
    const environment = process.env
    const own = { command: undefined, drainQueue: false, num: 1, concurrency: 1, stop }
    const processName = `test-${crypto.randomUUID()}`
    await runRunner({ config, local: true, dataDir: folder, log, kind, processName, environment, ...own })
    stop.dispose()
  }

  function plain(item: Item | undefined): Record<string, unknown> {
    return Object.fromEntries(Object.entries(item ?? {}).map(([name, value]) => [name, toPlain(value)]))
  }

  test('takes and leaves the files of code in its S3', async () => {
    const outputs = [{ path: 'out', url: 's3://opthub/run' }]
    const code = 'import shutil; shutil.copytree("/files/in", "out")'
    const message = { id: 'a', language: 'python', code, inputs, outputs }
    await table.queue('code-exec').send(JSON.stringify(message))
    await runOne('code-exec')
    const item = plain(await table.store.get(codeExecKey('a'), signal))
    expect(item).toMatchObject({
      Status: 'success',
      Artifacts: [{ Path: 'out/data', Bytes: 2, Url: 's3://opthub/run/data' }],
    })
    const back = await files.readBytes('s3://opthub/run/data', { signal, maxBytes: 10 })
    expect(Buffer.from(back).toString()).toBe('42')
  })

  test('gives the files of a match to its image', async () => {
    const createdAt = new Date()
    await table.store.update(solutionItem(TRIAL, { userId: 'User#1', variable: fromPlain([1]), createdAt }), {
      unlessStatus: [],
    })
    await runOne('evaluator')
    const item = plain(await table.store.get(resultKey('Evaluations', 'Success', TRIAL), signal))
    expect(item).toMatchObject({ Status: 'Success', Objective: 42 })
  })
})
