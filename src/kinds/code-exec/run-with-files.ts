import { tailLines } from '../../core/text.ts'
import { ImageError, type Executor, type Workdir } from '../../executors/executor.ts'
import type { ProgramResult } from '../../executors/run-program.ts'
import { saysUnseen } from './bound-files.ts'
import { runBlamed } from './fault.ts'
import type { Plan } from './plan.ts'
import { runStep, type StepOptions } from './run-step.ts'
import type { CodeExecEngine } from './services.ts'
import { workdirSpec } from './spec.ts'
import { WRITER } from './stubs.ts'

/** They are on another machine, or this process is in a container that shares no folder with them. */
const blind = new WeakSet<Executor>()

/**
 * Runs the program of a plan. Files that no stub hands to it are bound into its folder, and written there by a shell of its
 * own image where the engine does not see ours. ImageError when that has none.
 */
export async function runWithFiles(
  plan: Plan,
  workdir: Workdir | undefined,
  engine: CodeExecEngine,
  options: StepOptions,
): Promise<ProgramResult> {
  const { run } = plan
  const { executor, workdirs } = engine
  if (run.bound.length === 0 || !blind.has(executor)) {
    try {
      return await runBlamed(plan, run, workdir, engine, options)
    } catch (error) {
      if (run.bound.length === 0 || !saysUnseen(error)) throw error
      blind.add(executor)
      options.log.debug('The engine does not see our files: they are written by a container')
    }
  }
  await using made = workdir ? undefined : await workdirs.openWorkdir(workdirSpec(run.limits), options.signal)
  const folder = workdir ?? made
  await write(plan, folder, engine, options)
  return await runBlamed(plan, { ...run, bound: [] }, folder, engine, options)
}

async function write(
  plan: Plan,
  workdir: Workdir | undefined,
  engine: CodeExecEngine,
  { signal, log }: StepOptions,
): Promise<void> {
  const { run, image } = plan
  const writer = {
    command: WRITER.command,
    env: {},
    input: WRITER.frame(run.bound),
    bound: [],
    limits: engine.settings.limits,
    isCommon: false,
  }
  const { exitCode, stderr } = await runStep(plan, writer, workdir, engine, { signal, log })
  if (exitCode === 0) return
  const why = `its sh and base64 are needed where the engine does not see our files: ${tailLines(stderr.bytes, 1)}`
  throw new ImageError('not_startable', `Image ${image} can't be given its files: ${why}`)
}
