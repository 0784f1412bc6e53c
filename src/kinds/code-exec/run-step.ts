import type { Logger } from '../../core/log.ts'
import type { Phase, Timeline } from '../../core/timeline.ts'
import type { Mount, OutputChunk, Workdir } from '../../executors/executor.ts'
import { runProgram, type ProgramResult } from '../../executors/run-program.ts'
import { bindFiles } from './bound-files.ts'
import { asUnseen } from '../input-folder.ts'
import type { Plan, Step } from './plan.ts'
import type { CodeExecEngine } from './services.ts'
import { taskSpec, WORK_FOLDER } from './spec.ts'

/** What surrounds a step. */
export interface StepOptions {
  /** Kills the program; the call rejects with the signal's reason. */
  signal: AbortSignal
  log: Logger
  /** Kills the program, which has then been `canceled`. */
  cancel?: AbortSignal
  /** Hears what the program prints as it comes; it waits for a promise. */
  onOutput?: ((chunk: OutputChunk) => void | Promise<void>) | undefined
  timeline?: Timeline
  /** Files that were fetched for the job. */
  mounts?: readonly Mount[]
  /** The container is there, and gets its input. */
  onStart?: () => void
}

/** Runs one container of a plan, with what it needs around it. What the executor throws passes through. */
export async function runStep(
  plan: Plan,
  step: Step,
  workdir: Workdir | undefined,
  engine: CodeExecEngine,
  { signal, log, cancel, onOutput, timeline, mounts = [], onStart }: StepOptions,
): Promise<ProgramResult> {
  const { executor, clock } = engine
  await using files = await bindFiles(step.bound, WORK_FOLDER)
  const request = {
    spec: taskSpec(engine, plan, step, { workdir, mounts: [...files.mounts, ...mounts] }),
    input: step.input,
    wallTimeMs: step.limits.wallTimeMs,
    cpuTimeMs: step.limits.cpuTimeMs,
    outputBytes: step.limits.outputBytes,
    ...(cancel === undefined ? {} : { cancel }),
    onOutput,
    onStart: () => {
      timeline?.enter('run')
      onStart?.()
    },
  }
  const onPhase = (phase: Phase): void => timeline?.enter(phase)
  try {
    return await runProgram(executor, request, { signal, clock, log }, onPhase)
  } catch (error) {
    throw mounts.length === 0 ? error : asUnseen(error)
  } finally {
    timeline?.leave()
  }
}
