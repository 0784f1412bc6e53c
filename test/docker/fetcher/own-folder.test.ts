import { chmod, lstat, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { createLogger } from '../../../src/core/log.ts'
import { createDockerExecutor } from '../../../src/executors/docker/docker-executor.ts'
import { HOST_BASE } from '../../../src/executors/docker/images/host-programs.ts'
import { importImage } from '../../../src/executors/docker/images/import-image.ts'
import type { Executor } from '../../../src/executors/executor.ts'
import { ownFolder } from '../../../src/kinds/fetcher/container.ts'
import { requireEngine } from '../../support/engine.ts'
import { programs } from '../../support/images.ts'

const engine = await requireEngine()
const USER = { uid: 12_345, gid: 23_456 }
const IMAGES = { chown: 'opthub-runner-test/fetcher:chown', chmod: 'opthub-runner-test/fetcher:chmod' }

describe.runIf(engine !== undefined && process.getuid?.() === 0)('files that a job has left as root', () => {
  let executor: Executor
  let folder = ''

  beforeAll(async () => {
    if (engine === undefined) return
    for (const [program, tag] of Object.entries(IMAGES)) {
      const entries = [...HOST_BASE, ...(await programs([program]))]
      await importImage(engine, { tag, entries, command: ['none'] })
    }
    const log = createLogger(() => undefined)
    executor = createDockerExecutor({
      ...{ engine, log, environment: {}, processName: 'own-folder', pullPolicy: 'never' },
    })
    folder = await mkdtemp(join(tmpdir(), 'opthub-runner-own-'))
  })
  afterAll(async () => {
    await executor.close()
    await rm(folder, { recursive: true, force: true })
  })

  async function own(image: string): Promise<string[]> {
    const warnings: string[] = []
    const log = createLogger(({ msg }) => warnings.push(msg), 'WARNING')
    const services = {
      ...{ executor, clock: systemClock, files: undefined as never, jobOf: undefined as never },
      settings: { pathBase: '', timeoutSeconds: 1, stopGraceSeconds: 0, keep: false, limits: {}, user: USER },
    }
    await ownFolder({ id: '1', image, folder }, services, { log })
    return warnings
  }

  async function leave(name: string): Promise<string> {
    const inner = join(folder, name)
    await mkdir(inner)
    await writeFile(join(inner, 'secret'), '')
    await chmod(join(inner, 'secret'), 0o600)
    await chmod(inner, 0o700)
    return inner
  }

  it('become ours by chown, links not followed', async () => {
    const inner = await leave('a')
    const outside = `${folder}-outside`
    await writeFile(outside, '')
    await symlink(outside, join(inner, 'link'))
    expect(await own(IMAGES.chown)).toEqual([])
    expect(await lstat(join(inner, 'secret'))).toMatchObject(USER)
    expect(await lstat(outside)).toMatchObject({ uid: 0 })
    await rm(outside)
  })

  it('can be read and removed by all where there is only chmod', async () => {
    const inner = await leave('b')
    expect(await own(IMAGES.chmod)).toEqual([])
    expect((await lstat(inner)).mode & 0o777).toBe(0o777)
    expect((await lstat(join(inner, 'secret'))).mode & 0o666).toBe(0o666)
  })
})
