import { posix } from 'node:path'
import { messageOf, RetryableError } from '../../core/errors.ts'
import { tailLines } from '../../core/text.ts'
import { ImageError, type Workdir } from '../../executors/executor.ts'
import type { ProgramResult } from '../../executors/run-program.ts'
import { saysUnseen } from './bound-files.ts'
import { RequestError } from '../fields.ts'
import type { Plan, Step } from './plan.ts'
import { runStep, type StepOptions } from './run-step.ts'
import type { CodeExecEngine } from './services.ts'
import { LIMIT_NAMES } from './settings.ts'
import { shellStub, STUBS, WRITER } from './stubs.ts'

const NAME_ANOTHER = 'Name an image that has it in code_exec.languages.'

/** An image that can't be had or started is the fault of whoever has named it: RequestError for a job's own. */
export async function byFault<T>({ image, language }: Plan, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof ImageError)) throw error
    if (language === undefined) throw new RequestError(error.message)
    const isMissing = error.reason === 'not_found' || error.reason === 'denied'
    const hint = isMissing ? `Get it by \`docker pull ${image}\`. ` : ''
    throw unusable(language, error.reason, `${error.message}. ${hint}`, error)
  }
}

/**
 * Runs a step; when its container can't even be started, asks with the limits of the config whether those of the job are
 * to blame (RequestError): no job is to make an engine or a language look broken.
 */
export async function runBlamed(
  plan: Plan,
  step: Step,
  workdir: Workdir | undefined,
  engine: CodeExecEngine,
  options: StepOptions,
): Promise<ProgramResult> {
  const seen = { start: false }
  const onStart = (): void => {
    seen.start = true
    options.onStart?.()
  }
  try {
    return await runStep(plan, step, workdir, engine, { ...options, onStart })
  } catch (error) {
    const asked = Object.entries(LIMIT_NAMES).filter(([, key]) => plan.request.limits[key] !== undefined)
    const isDoubtful =
      error instanceof ImageError || (error instanceof RetryableError && error.surrounding === 'engine')
    if (step.bound.length > 0 && saysUnseen(error)) throw error
    if (seen.start || asked.length === 0 || !isDoubtful || options.signal.aborted) throw error
    const trial = { ...trialStep(plan, engine), command: ['true'], input: Buffer.alloc(0) }
    const { signal, log } = options
    const starts = await runStep(plan, trial, undefined, engine, { signal, log }).then(
      () => true,
      () => false,
    )
    if (!starts) throw error
    log.warn('The limits of a job keep its container from being started', { error: messageOf(error) })
    const limits = asked.map(([name, key]) => `${name} ${step.limits[key]}`).join(', ')
    throw new RequestError(`no container can be started with these limits: ${limits}`)
  }
}

/**
 * Throws ImageError when a program ended because its language is not in the image. The first process in a container says so
 * by an exit code, as any program may: so the language is asked by a program of our own.
 */
export async function assertUsable(
  plan: Plan,
  result: ProgramResult,
  engine: CodeExecEngine,
  { signal, log }: StepOptions,
): Promise<void> {
  if (!isCommandMissing(result) || !plan.run.isCommon) return
  const tried = await runStep(plan, trialStep(plan, engine), undefined, engine, { signal, log })
  if (isCommandMissing(tried)) throw lacking(plan, result)
}

/**
 * Throws ImageError when the compiler is not in the image. The step may say so of what the job's own files call: so it is
 * asked again without these.
 */
export async function assertCompiler(
  plan: Plan,
  compile: Step,
  result: ProgramResult,
  engine: CodeExecEngine,
  { signal, log }: StepOptions,
): Promise<void> {
  if (!isCommandMissing(result)) return
  const trial = { ...compile, input: compilerAlone(plan, engine), limits: engine.settings.limits }
  const tried = await runStep(plan, trial, undefined, engine, { signal, log })
  if (isCommandMissing(tried)) throw lacking(plan, tried)
}

function isCommandMissing({ exitCode, killedFor }: ProgramResult): boolean {
  return killedFor === undefined && (exitCode === 126 || exitCode === 127)
}

/** A program of our own in place of the job's. */
function trialStep({ run, language: name = '' }: Plan, { settings }: CodeExecEngine): Step {
  const { stub, file = 'code' } = settings.languages[name] ?? {}
  const nothing = { code: '', file, files: [], args: [], env: {} }
  const input = stub === undefined ? Buffer.alloc(0) : STUBS[stub].frame(nothing)
  return { ...run, env: {}, input, bound: [], limits: settings.limits, isCommon: false }
}

/** For its shell: the compiler without arguments or a source, or nothing where that is a file of the job's. */
function compilerAlone({ language: name = '' }: Plan, { settings }: CodeExecEngine): Buffer {
  const { compile: [compiler = ''] = [], file = 'code' } = settings.languages[name] ?? {}
  const isJobs = compiler.includes('/') && !posix.isAbsolute(compiler)
  if (isJobs) return WRITER.frame([])
  return shellStub([compiler]).frame({ code: '', file, files: [], args: [], env: {} })
}

function lacking({ image, language = '' }: Plan, { stderr }: ProgramResult): ImageError {
  const said = tailLines(stderr.bytes, 1)
  return unusable(language, 'not_startable', `Image ${image} has not what it needs: ${said}. `)
}

function unusable(language: string, reason: ImageError['reason'], why: string, cause?: unknown): ImageError {
  const text = `The language ${language} can not be used: ${why}${NAME_ANOTHER}${language}.image`
  return new ImageError(reason, text, { cause })
}
