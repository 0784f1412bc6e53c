import { SECCOMP_PROFILE } from '../../../src/executors/docker/walls/seccomp.ts'
import {
  createDockerExecutor,
  type DockerExecutorOptions,
} from '../../../src/executors/docker/docker-executor.ts'
import type { Engine } from '../../../src/executors/docker/api/engine.ts'
import type {
  Executor,
  Task,
  TaskExit,
  TaskLimits,
  TaskSpec,
  Usage,
  WallChecks,
  Workdir,
  WorkdirSpec,
  Workdirs,
} from '../../../src/executors/executor.ts'
import { createLogger } from '../../../src/core/log.ts'
import { buildPythonImage } from '../../support/images.ts'

export const MIB = 1024 ** 2
export const NOBODY = 65534

/** Runs the program that it reads. */
const MAIN = 'import sys; exec(compile(sys.stdin.read(), "job", "exec"))'

/** How a program within walls ended. */
export interface Ended extends TaskExit {
  stdout: string
  stderr: string
  usage: Usage
}

/** Runs Python programs within walls. */
export interface Walled {
  executor: Executor & Workdirs & WallChecks
  image: string
  spec(changes?: SpecChanges): TaskSpec
  start(program: string, changes?: SpecChanges): Promise<Task>
  run(program: string, changes?: SpecChanges): Promise<Ended>
  /** What the last line that a program prints says, as JSON. */
  ask(program: string, changes?: SpecChanges): Promise<unknown>
}

export interface SpecChanges extends Partial<Omit<TaskSpec, 'limits'>> {
  limits?: TaskLimits
  folder?: WorkdirSpec | Workdir
}

export const FOLDER: WorkdirSpec = { path: '/work', bytes: 8 * MIB, inodes: 50, uid: NOBODY }

/** As a kind would set them. */
const LIMITS: TaskLimits = {
  cpus: 1,
  memoryBytes: 256 * MIB,
  pids: 64,
  shmBytes: MIB,
  network: 'none',
  readOnly: true,
  user: String(NOBODY),
  tmpfs: { '/tmp': 'size=4m,nr_inodes=100,nosuid,nodev' },
  ulimits: { nofile: 128, fsize: 16 * MIB, core: 0 },
}

const never = new AbortController().signal

export async function buildWalled(
  engine: Engine,
  options: Partial<DockerExecutorOptions> & { tag?: string; changes?: readonly string[] } = {},
): Promise<Walled> {
  const { tag = 'opthub-runner-test/walled:1', changes = [], ...rest } = options
  const image = await buildPythonImage(engine, tag, MAIN, { changes })
  const executor = createDockerExecutor({
    ...{ engine, processName: `test-${crypto.randomUUID()}`, environment: {} },
    log: createLogger(() => undefined),
    ...rest,
  })
  const spec = ({ limits, folder, ...more }: SpecChanges = {}): TaskSpec => ({
    name: `walled-${crypto.randomUUID()}`,
    kind: 'test',
    image,
    environment: {},
    limits: { ...LIMITS, ...limits },
    walls: { seccomp: SECCOMP_PROFILE, workdir: folder ?? FOLDER },
    keep: false,
    ...more,
  })
  const start = async (program: string, more?: SpecChanges): Promise<Task> => {
    const task = await executor.start(spec(more), never)
    await task.send(Buffer.from(program))
    return task
  }
  const run = async (program: string, more?: SpecChanges): Promise<Ended> => {
    await using task = await start(program, more)
    return await end(task)
  }
  return {
    ...{ executor, image, spec, start, run },
    ask: async (program, more) => {
      const { stdout, stderr, exitCode } = await run(program, more)
      if (exitCode !== 0) throw new Error(`The program ended with ${exitCode}: ${stderr}`)
      return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as unknown
    },
  }
}

/** Reads what a task prints, waits for its end, and asks what it has used. */
export async function end(task: Task): Promise<Ended> {
  const printed = { stdout: '', stderr: '' }
  for await (const { stream, data } of task.output()) printed[stream] += Buffer.from(data).toString()
  const exit = await task.wait()
  return { ...exit, ...printed, usage: (await task.usage?.()) ?? {} }
}
