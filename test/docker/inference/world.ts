import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openModels, type Models } from '../../../src/app/inference.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { isJsonObject, toPlain } from '../../../src/core/json.ts'
import { createLogger } from '../../../src/core/log.ts'
import { Timeline } from '../../../src/core/timeline.ts'
import { runInference } from '../../../src/kinds/inference/execute.ts'
import { parseInferenceMessage } from '../../../src/kinds/inference/message.ts'
import { planInference } from '../../../src/kinds/inference/plan.ts'
import type { InferenceOutcome } from '../../../src/records/inference.ts'

const log = createLogger(() => undefined, 'CRITICAL')

/** Models of this machine, called without queue or table. */
export interface World extends AsyncDisposable {
  models: Models
  call(message: object, cancel?: AbortSignal): Promise<InferenceOutcome>
}

/** `image` answers messages that name none. */
export async function openWorld(image: string, flags: Record<string, string> = {}): Promise<World> {
  const dataDir = await mkdtemp(join(tmpdir(), 'opthub-runner-inference-'))
  const { config } = await loadConfig({
    file: join(dataDir, 'config.yml'),
    required: false,
    environment: {},
    flags: Object.fromEntries(Object.entries(flags).map(([key, value]) => [key, { flag: key, value }])),
  })
  config.pull_policy = 'never'
  const models = await openModels({ config, environment: process.env, dataDir, log })
  return {
    models,
    call: async (message, cancel) => {
      const parsed = parseInferenceMessage(JSON.stringify({ id: 'job', image, ...message }))
      if ('problem' in parsed) throw new Error(parsed.problem)
      const plan = planInference(parsed.request, models.engine.settings, () => true)
      const timeline = new Timeline(systemClock)
      return await runInference(plan, models.engine, {
        signal: new AbortController().signal,
        log,
        timeline,
        ...(cancel === undefined ? {} : { cancel }),
      })
    },
    [Symbol.asyncDispose]: async () => {
      await models.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** Of the first choice. */
export function text({ output }: InferenceOutcome): string {
  const { choices } = toPlain(isJsonObject(output) ? output : new Map()) as { choices?: { text: string }[] }
  return choices?.[0]?.text ?? ''
}
