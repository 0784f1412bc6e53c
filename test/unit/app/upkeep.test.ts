import { expect, onTestFinished, test } from 'vitest'
import { startReaping } from '../../../src/app/upkeep.ts'
import { createCleanup } from '../../../src/core/cleanup.ts'
import { RetryableError } from '../../../src/core/errors.ts'
import { createLogger } from '../../../src/core/log.ts'
import type { Executor } from '../../../src/executors/executor.ts'
import { settle } from '../../support/manual-clock.ts'
import { ScriptedExecutor } from '../../support/scripted-executor.ts'

const never = new AbortController().signal

test('the engine is asked before a receive once it did not answer the look for left containers', async () => {
  const log = createLogger(() => undefined)
  const cleanup = createCleanup(log)
  onTestFinished(() => cleanup.run())
  const down = new RetryableError('engine', 'down')
  const executor = new ScriptedExecutor()
  executor.failure = down
  // Nothing is known against it yet.
  await startReaping(executor, log, cleanup)(never)
  executor.reap = () => Promise.reject(down)
  const assertEngine = startReaping(executor, log, cleanup)
  await settle()
  await expect(assertEngine(never)).rejects.toBe(down)
  await expect(assertEngine(never)).rejects.toBe(down)
  executor.failure = undefined
  await assertEngine(never)
  // It answered: it is not asked again before the next look fails.
  executor.failure = down
  await assertEngine(never)
})

test('a runner that ends at once has looked for left containers', async () => {
  const log = createLogger(() => undefined)
  const cleanup = createCleanup(log)
  const executor: Executor = new ScriptedExecutor()
  const seen: boolean[] = []
  executor.reap = async (signal) => {
    await settle()
    seen.push(signal.aborted)
    return 1
  }
  startReaping(executor, log, cleanup)
  await cleanup.run()
  expect(seen).toEqual([false])
})
