import type { ImageInfo, Workdir } from '../../executors/executor.ts'
import { assertFits } from '../../executors/resource-fit.ts'
import type { ProgramResult } from '../../executors/run-program.ts'
import type { CodeExecOutcome, PrintedOutput } from '../../records/code-exec.ts'
import { collectArtifacts, type Collected } from './artifacts.ts'
import { assertCompiler, assertUsable, byFault, runBlamed } from './fault.ts'
import { RequestError } from './fields.ts'
import type { CodeExecRequest } from './message.ts'
import { compileFailure, limitsJson, programFields, rejected, withReason } from './outcome.ts'
import { planJob, type Plan } from './plan.ts'
import type { StepOptions } from './run-step.ts'
import type { CodeExecEngine } from './services.ts'
import { runWithFiles } from './run-with-files.ts'
import { workdirSpec } from './spec.ts'
import { verdictOf } from './verdict.ts'

export interface RunOptions extends StepOptions {
  /** Bytes of all artifacts together, by what was printed; left out = 64 MiB. */
  roomForArtifacts?: (output: { stdout: PrintedOutput; stderr: PrintedOutput }) => number
}

const ARTIFACT_BYTES = 64 * 1024 ** 2

/**
 * Runs a program here and now, without a queue or a table. What is wrong with the request or with the program is an
 * outcome. ImageError when the image of a language can't be had or started, which is the operator's to mend (its text says
 * how); what the engine throws passes through.
 */
export async function runCodeExec(
  request: CodeExecRequest,
  engine: CodeExecEngine,
  options: RunOptions,
): Promise<CodeExecOutcome> {
  return await orRejected(async () => {
    const plan = planJob(request, engine.settings, {
      now: engine.clock.date(),
      isImageAllowed: engine.isImageAllowed,
    })
    const image = await fetchImage(plan, engine, options)
    return await runPlan(plan, image, engine, options)
  })
}

/** Makes the plan's image present. RequestError when it is the job's own and can't be had. */
export async function fetchImage(
  plan: Plan,
  engine: CodeExecEngine,
  options: RunOptions,
): Promise<ImageInfo> {
  const { signal, timeline } = options
  const { executor, settings } = engine
  const { limits } = plan.run
  const isMore = limits.cpus > settings.limits.cpus || limits.memoryBytes > settings.limits.memoryBytes
  // Before the pull, which may be long and for nothing.
  if (isMore || plan.gpus !== 0) assertFits({ limits, gpus: plan.gpus }, await executor.capacity(signal))
  timeline?.enter('pull')
  try {
    return await byFault(plan, () => executor.pull(plan.image, signal))
  } finally {
    timeline?.leave()
  }
}

/** Compiles and runs what was planned. RequestError when the job's own image can't be started. */
export async function runPlan(
  plan: Plan,
  image: ImageInfo,
  engine: CodeExecEngine,
  options: RunOptions,
): Promise<CodeExecOutcome> {
  const { request, compile, run } = plan
  const { settings, workdirs } = engine
  const needsWorkdir = compile !== undefined || request.artifacts.length > 0
  await using workdir = needsWorkdir
    ? await workdirs.openWorkdir(workdirSpec(run.limits), options.signal)
    : undefined
  const base = { limits: limitsJson(run.limits), artifacts: [], artifactsSkipped: [] }
  const sandbox = (isWarm: boolean): CodeExecOutcome['sandbox'] => ({
    imageDigest: image.digest ?? image.id,
    runtime: settings.runtime ?? 'default',
    start: isWarm ? 'warm' : 'cold',
  })
  if (compile !== undefined) {
    const silent = { ...options, onOutput: undefined }
    const compiled = await byFault(plan, () => runBlamed(plan, compile, workdir, engine, silent))
    assertCompiler(plan, compiled)
    const failure = compileFailure(compiled)
    if (failure !== undefined)
      return { ...base, ...programFields(compiled), ...failure, sandbox: sandbox(false) }
  }
  const onStart = (): void => {
    options.timeline?.markStarted()
    options.onStart?.()
  }
  const result = await byFault(plan, () => runWithFiles(plan, workdir, engine, { ...options, onStart }))
  await assertUsable(plan, result, engine, options)
  const collected = await collect(plan, result, workdir, options)
  const isCpuSpent = (result.usage.cpuMs ?? 0) >= run.limits.cpuTimeMs
  return {
    ...base,
    ...programFields(result),
    ...withReason(
      verdictOf({ ...result, isCpuSpent, lacksArtifact: collected?.isLacking === true }),
      result,
      run.limits,
    ),
    ...(collected === undefined
      ? {}
      : { artifacts: collected.artifacts, artifactsSkipped: collected.skipped }),
    sandbox: sandbox(result.isWarm),
  }
}

/** What is wrong with a request is an outcome too. */
export async function orRejected(work: () => Promise<CodeExecOutcome>): Promise<CodeExecOutcome> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof RequestError) return rejected(error.message)
    throw error
  }
}

/** Undefined when none are wanted. Whatever came of the program: what it has left may say why. */
async function collect(
  { request, image, run }: Plan,
  result: ProgramResult,
  workdir: Workdir | undefined,
  { signal, roomForArtifacts = () => ARTIFACT_BYTES }: RunOptions,
): Promise<Collected | undefined> {
  if (workdir === undefined || request.artifacts.length === 0 || result.killedFor === 'canceled')
    return undefined
  const wanted = {
    patterns: request.artifacts,
    given: run.bound.map(({ path }) => path),
    room: roomForArtifacts(result),
  }
  return await collectArtifacts(workdir, image, wanted, signal)
}
