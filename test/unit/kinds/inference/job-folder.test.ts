import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createWorld, type World } from './harness.ts'

const NOBODY = 65_534
const isRoot = process.getuid?.() === 0
const message = { prompt: 'x', inputs: [{ path: 'in', url: 's3://b/in' }] }
let folder = ''
let left = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'opthub-runner-left-'))
  vi.stubEnv('TMPDIR', folder)
})
afterEach(async () => {
  // It may be gone.
  await setRemovable(true).catch(() => undefined)
  await rm(folder, { recursive: true })
})

/** No folder keeps anything from root, who is somebody else for as long. */
async function setRemovable(isRemovable: boolean): Promise<void> {
  if (isRoot) process.seteuid?.(isRemovable ? 0 : NOBODY)
  else await chmod(left, isRemovable ? 0o700 : 0o500)
}

/** A program that leaves what can't be removed, in an image in which `own` is asked to change that. */
function open(own: (program: string | undefined) => Promise<number>): World {
  return createWorld(
    {
      echo: async (_input, _environment, { mounts, entrypoint }) => {
        if (entrypoint !== undefined) return { exitCode: await own(entrypoint[0]) }
        left = join(mounts?.[0]?.source ?? '', 'out')
        await mkdir(left)
        await writeFile(join(left, 'file'), '')
        await setRemovable(false)
        return { stdout: '{"choices": [{"text": "done"}]}' }
      },
    },
    { user: { uid: 1234, gid: 5678 } },
  )
}

describe.runIf(process.platform !== 'win32')('what a program leaves in the folder of its job', () => {
  test('is removed by the programs of its image where it belongs to others', async () => {
    const world = open(async (program) => {
      if (program === 'chown') return 127
      await setRemovable(true)
      return 0
    })
    expect(await world.deliver(message)).toBe('succeeded')
    expect(world.item()).toMatchObject({ Status: 'succeeded' })
    expect(left.startsWith(folder)).toBe(true)
    expect(await readdir(folder)).toEqual([])
    expect(world.executor.started.slice(1)).toMatchObject([
      {
        ...{ image: 'echo', entrypoint: ['chown'], command: ['-R', '-h', '1234:5678', '/files'] },
        ...{ mounts: [{ source: dirname(left) }], limits: { network: 'none', user: '0:0' } },
      },
      { image: 'echo', entrypoint: ['chmod'] },
    ])
    expect(world.executor.present.size).toBe(0)
  })

  test('never takes the place of what has come of the job', async () => {
    const world = open(() => Promise.resolve(127))
    expect(await world.deliver(message)).toBe('succeeded')
    expect(world.item()).toMatchObject({ Status: 'succeeded' })
    expect(world.log).toContainEqual(
      expect.objectContaining({ level: 'WARNING', msg: "The job's folder could not be removed" }),
    )
  })
})
