import type { ImageInfo, Workdir } from '../../executors/executor.ts'
import { assertFits } from '../../executors/resource-fit.ts'
import type { ProgramResult } from '../../executors/run-program.ts'
import { tellProgress } from '../../files/progress.ts'
import type { CodeExecOutcome, PrintedOutput, SkippedArtifact } from '../../records/code-exec.ts'
import { collectArtifacts, type Collected } from './artifacts.ts'
import { assertCompiler, assertUsable, byFault, runBlamed } from './fault.ts'
import { RequestError } from '../fields.ts'
import { fetchInputs } from '../input-folder.ts'
import type { CodeExecRequest } from './message.ts'
import { compileFailure, limitsJson, programFields, rejected, withReason } from './outcome.ts'
import { OutputFolder, type Sent } from './output-folder.ts'
import { planJob, type Plan } from './plan.ts'
import type { StepOptions } from './run-step.ts'
import type { CodeExecEngine } from './services.ts'
import { runWithFiles } from './run-with-files.ts'
import { workdirSpec } from './spec.ts'
import { asRequest, assertAddresses, whileWanted } from './transfers.ts'
import { verdictOf } from './verdict.ts'

export interface RunOptions extends StepOptions {
  /** Bytes of all artifacts together, by what was printed; left out = 64 MiB. */
  roomForArtifacts?: (output: { stdout: PrintedOutput; stderr: PrintedOutput }) => number
}

const ARTIFACT_BYTES = 64 * 1024 ** 2
/** What the item keeps free for the list of what was sent. */
const LISTING_BYTES = 64 * 1024
const LONGEST_REASON = 200

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
  await assertAddresses(plan.request, engine.files)
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

/** Compiles and runs what was planned, its files around it. RequestError when the job's own image can't be started. */
export async function runPlan(
  plan: Plan,
  image: ImageInfo,
  engine: CodeExecEngine,
  options: RunOptions,
): Promise<CodeExecOutcome> {
  const { inputs: wanted, outputs: announced } = plan.request
  const { maxFileBytes: maxBytes } = engine.settings
  const { timeline } = options
  const onProgress = timeline && tellProgress(timeline)
  if (wanted.length > 0) timeline?.enter('download')
  const fetched = await whileWanted(options, (signal) =>
    asRequest('inputs', () =>
      fetchInputs(wanted, engine.files, { signal, maxBytes, ...(onProgress && { onProgress }) }),
    ),
  )
  timeline?.leave()
  if (fetched === 'canceled') return rejected('', 'canceled')
  await using inputs = fetched
  await using outputs =
    announced.length === 0 ? undefined : await OutputFolder.open(announced, plan.run.limits.diskBytes)
  return await runSteps(plan, image, engine, { ...options, mounts: inputs.mounts, outputs })
}

async function runSteps(
  plan: Plan,
  image: ImageInfo,
  engine: CodeExecEngine,
  options: RunOptions & { outputs: OutputFolder | undefined },
): Promise<CodeExecOutcome> {
  const { request, compile, run } = plan
  const { settings, workdirs } = engine
  const { outputs } = options
  const needsWorkdir = compile !== undefined || request.artifacts.length > 0 || outputs !== undefined
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
    await assertCompiler(plan, compile, compiled, engine, options)
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
  const sent = collected && (await send(plan, result, engine, options))
  if (sent === 'canceled') return { ...base, ...programFields(result), status: sent, sandbox: sandbox(false) }
  const isCpuSpent = (result.usage.cpuMs ?? 0) >= run.limits.cpuTimeMs
  const lacksArtifact = collected?.isLacking === true || sent?.isLacking === true
  return {
    ...base,
    ...programFields(result),
    ...withReason(verdictOf({ ...result, isCpuSpent, lacksArtifact }), result, run.limits),
    ...(collected && {
      artifacts: collected.artifacts,
      artifactsSkipped: together(collected.skipped, sent?.skipped),
    }),
    ...(sent && { sent: sent.files }),
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
  {
    signal,
    outputs,
    roomForArtifacts = () => ARTIFACT_BYTES,
  }: RunOptions & { outputs: OutputFolder | undefined },
): Promise<Collected | undefined> {
  const isWanted = request.artifacts.length > 0 || outputs !== undefined
  if (workdir === undefined || !isWanted || result.killedFor === 'canceled') return undefined
  const room = roomForArtifacts(result)
  const wanted = {
    patterns: request.artifacts,
    given: run.bound.map(({ path }) => path),
    room: outputs === undefined ? room : Math.max(Math.floor(room / 2), room - LISTING_BYTES),
    outputs,
  }
  return await collectArtifacts(workdir, image, wanted, signal)
}

async function send(
  { run }: Plan,
  result: ProgramResult,
  { files }: CodeExecEngine,
  options: RunOptions & { outputs: OutputFolder | undefined },
): Promise<Sent | 'canceled' | undefined> {
  const { outputs } = options
  if (outputs === undefined) return undefined
  await outputs.takePrinted(result)
  options.timeline?.enter('upload')
  const sent = await whileWanted(options, (signal) =>
    outputs.send(files, { signal, maxBytes: run.limits.diskBytes }),
  )
  options.timeline?.leave()
  return sent
}

/** Each path once, with what was seen first. */
function together(
  collected: readonly SkippedArtifact[],
  sent: readonly SkippedArtifact[] = [],
): SkippedArtifact[] {
  const known = new Set(collected.map(({ path }) => path))
  const more = sent.map(({ path, reason }) => ({ path, reason: reason.slice(0, LONGEST_REASON) }))
  return [...collected, ...more.filter(({ path }) => !known.has(path))]
}
