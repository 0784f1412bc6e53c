import { expect, it } from 'vitest'
import { systemClock } from '../../../../src/core/clock.ts'
import { createLogger, type LogRecord } from '../../../../src/core/log.ts'
import { Engine } from '../../../../src/executors/docker/api/engine.ts'
import { EngineError } from '../../../../src/executors/docker/api/errors.ts'
import type { DiskSpace } from '../../../../src/executors/docker/images/disk-space.ts'
import { Images } from '../../../../src/executors/docker/images/pull.ts'

it('of the images that messages name the last thousand are remembered', async () => {
  const asked: unknown[] = []
  const warned: LogRecord[] = []
  const signal = new AbortController().signal
  const engine = Object.assign(new Engine({ socketPath: '/nowhere' }), {
    json: () => Promise.resolve({ Id: 'sha256:1', Architecture: 'amd64' }),
    open: (_method: string, _path: string, { query }: { query: { fromImage: string } }) => {
      asked.push(query.fromImage)
      return Promise.reject(new EngineError(500, 'the registry is down'))
    },
  })
  const images = new Images({
    engine,
    policy: 'refresh',
    checkIntervalMs: 60_000,
    patienceMs: 1000,
    silenceMs: 1000,
    allowed: [],
    logins: {},
    environment: { DOCKER_CONFIG: '/nowhere' },
    helperTimeoutMs: 1000,
    disk: { ensure: () => Promise.resolve() } as unknown as DiskSpace,
    record: undefined,
    clock: { ...systemClock, now: () => 0 },
    log: createLogger((record) => record.level === 'WARNING' && warned.push(record)),
  })
  for (let n = 0; n <= 1000; n += 1) await images.ensure(`registry.example/${String(n)}`, undefined, signal)
  expect(warned).toHaveLength(1001)

  asked.length = 0
  await images.ensure('registry.example/1000', undefined, signal)
  expect(asked).toEqual([])
  await images.ensure('registry.example/0', undefined, signal)
  expect(asked).toEqual(['registry.example/0'])
  expect(warned).toHaveLength(1002)

  expect(await images.restore('registry.example/1', undefined, signal)).toBe(false)
  expect(await images.restore('registry.example/1000', undefined, signal)).toBe(true)
})
