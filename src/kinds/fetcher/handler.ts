import { join } from 'node:path'
import { retryPauseMs } from '../../core/backoff.ts'
import { JobError, LeaseLostError, messageOf, NotYetError, RetryableError } from '../../core/errors.ts'
import type { Handler, JobContext, JobIdentity } from '../../core/kind.ts'
import { escapeControls, tailLines } from '../../core/text.ts'
import { ImageError, type ImageInfo } from '../../executors/executor.ts'
import { verdictOf } from '../../executors/run-task.ts'
import { FileError } from '../../files/files.ts'
import { tellProgress } from '../../files/progress.ts'
import { removeFolder } from '../left-folder.ts'
import { ownFolder, runContainer, type Ended } from './container.ts'
import { makeJobFolder, makeOutputFolders } from './job-folder.ts'
import type { FetcherJob, FetcherPayload } from './job-specs.ts'
import { markFolder } from './leftovers.ts'
import { listOutputs, skippedText } from './outputs.ts'
import { lackingFor, type FetcherServices, type JobSession, type OpenJob } from './services.ts'

/** How long a job waits in its slot for its surroundings before it is given up. */
const PATIENCE_MS = 5 * 60_000
const DETAIL_CHARACTERS = 1000

/** Runs jobs with files, of a worker-facing API. The result is what its owner may want to know beside "finished". */
export function createFetcher(services: FetcherServices): Handler<FetcherPayload, FetcherJob, string> {
  return {
    identify: identifyFetcherJob,

    prepare: (payload, context) =>
      settling(payload.id, context, async (open) => {
        await open.session.enter('preprocessing', context.signal)
        try {
          if ('problem' in payload) throw invalid(payload.problem)
          const lacking = lackingFor(payload.job.hardware, open.place)
          if (lacking === undefined) return payload.job
          throw invalid(`The job needs more than this worker offers: ${lacking}`)
        } catch (error) {
          leaveOnLoss(open, context)
          throw error
        }
      }),

    run: ({ id }, job, context) =>
      settling(id, context, async (open) => {
        try {
          return await runJob(id, job, services, context)
        } finally {
          context.timeline.markFinished()
          leaveOnLoss(open, context)
        }
      }),

    saveSuccess: ({ id }, details, context) =>
      settling(id, context, async ({ session }) => {
        await session.finish('finished', details, context.signal)
        return 'written' as const
      }),

    saveFailure: ({ id }, { publicMessage, detail }, context) =>
      settling(id, context, async ({ session }) => {
        const text = detail === '' ? publicMessage : `${publicMessage}\n${detail}`
        await session.finish('error', text, context.signal)
        return 'written' as const
      }),
  }

  /** Notes why a job ends undone; one that is lost leaves its place here, since nobody will settle it. */
  async function settling<T>(
    id: string,
    { signal }: JobContext,
    work: (open: OpenJob) => Promise<T>,
  ): Promise<T> {
    const open = services.jobOf(id)
    try {
      return await work(open)
    } catch (error) {
      open.session.why = whyOf(error, signal)
      if (signal.reason instanceof LeaseLostError || error instanceof LeaseLostError) open.leave()
      throw error
    }
  }
}

/** Lets a job of which nothing runs any more leave its place once it is lost: between two steps no step notices it. */
function leaveOnLoss(open: OpenJob, { signal }: JobContext): void {
  function leaveIfLost(): void {
    if (signal.reason instanceof LeaseLostError) open.leave()
  }
  if (signal.aborted) leaveIfLost()
  else signal.addEventListener('abort', leaveIfLost, { once: true })
}

/** Who a job is, for logs and container names. */
function identifyFetcherJob({ id }: FetcherPayload): JobIdentity {
  return { id, shortId: id.replace(/[^A-Za-z0-9]+/g, '-').slice(0, 40), fields: {} }
}

async function runJob(
  id: string,
  job: FetcherJob,
  services: FetcherServices,
  context: JobContext,
): Promise<string> {
  const { executor, settings } = services
  const { signal, log, timeline } = context
  const { session, place } = services.jobOf(id)
  const own = (folder: string): Promise<void> =>
    ownFolder({ id, image: job.image, folder }, services, context)
  const remove = (folder: string): Promise<void> => removeFolder(folder, () => own(folder))
  const unmark = await asDisk(() => markFolder(settings.pathBase, id))
  try {
    const folder = await asDisk(() => makeJobFolder(settings.pathBase, id, remove))
    timeline.enter('download')
    await download(job, folder, services, session, context)
    timeline.leave()
    const image = await fetchImage(job, services, context)
    const runnable = { id, job, image, place, folder }
    await session.enter('running', signal)
    const ended = await untilPossible(services, context, () =>
      byImage(runContainer(runnable, services, context)),
    )
    await session.enter('postprocessing', signal)
    timeline.enter('upload')
    await own(folder)
    const skipped = await upload(job, folder, services, session, context)
    return judge(ended, skipped, settings.timeoutSeconds)
  } finally {
    timeline.leave()
    const folder = join(settings.pathBase, id)
    try {
      await remove(folder)
      await unmark()
    } catch (error) {
      log.warn("The job's folder could not be removed", { folder, error: messageOf(error) })
    }
  }

  /** Makes the image present; an image that can't be had is the job's own fault. */
  async function fetchImage(
    { image }: FetcherJob,
    given: FetcherServices,
    at: JobContext,
  ): Promise<ImageInfo> {
    at.timeline.enter('pull')
    try {
      return await untilPossible(given, at, () => byImage(executor.pull(image, signal)))
    } finally {
      at.timeline.leave()
    }
  }
}

/** What keeps a folder from being made is no job's fault. */
async function asDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw new RetryableError('disk', `the job's folder can't be made: ${messageOf(error)}`, { cause: error })
  }
}

async function download(
  { inputs, outputs }: FetcherJob,
  folder: string,
  { files }: FetcherServices,
  session: JobSession,
  { signal, timeline }: JobContext,
): Promise<void> {
  try {
    await files.download(
      inputs.map(({ path, fileId }) => ({
        path,
        url: fileId,
        renew: (each) => asFileError(path, fileId, () => session.downloadRequest(fileId, each)),
      })),
      folder,
      { signal, maxBytes: Infinity, onProgress: tellProgress(timeline) },
    )
    await makeOutputFolders(
      folder,
      outputs.map((output) => output.folder),
    )
  } catch (error) {
    if (!(error instanceof FileError)) throw error
    throw new JobError('input_missing', `An input can't be had: ${error.message}`, '', { cause: error })
  }
}

/** Whoever asks for the address of a file that is not there is told so. */
async function asFileError<T>(path: string, fileId: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { status } = error as { status?: unknown }
    if (error instanceof RetryableError || typeof status !== 'number') throw error
    const reason = status === 404 ? 'not_found' : 'refused'
    throw new FileError(reason, path, `${JSON.stringify(fileId)}: ${messageOf(error)}`, { cause: error })
  }
}

/** Sends what the job has left; says what of it was left out. */
async function upload(
  job: FetcherJob,
  folder: string,
  { files }: FetcherServices,
  session: JobSession,
  { signal, log, timeline }: JobContext,
): Promise<string> {
  try {
    const outputs = await listOutputs(job, folder, session, signal)
    for (const { path, why } of outputs.skipped.slice(0, 100))
      log.warn('Not sent', { path: escapeControls(path), why })
    const onProgress = tellProgress(timeline)
    await files.upload(outputs.files, folder, { signal, maxBytes: Infinity, onProgress })
    log.info('Outputs are sent', { files: outputs.files.length, bytes: outputs.bytes })
    return escapeControls(skippedText(outputs.skipped))
  } catch (error) {
    const isRefused = typeof (error as { status?: unknown }).status === 'number'
    if (!(error instanceof FileError) && !isRefused) throw error
    throw new JobError('unstorable_result', `An output can't be sent: ${messageOf(error)}`, '', {
      cause: error,
    })
  }
}

/** What a program's end means for its job. */
function judge(ended: Ended, skipped: string, timeoutSeconds: number): string {
  const log = lastCharacters(tailLines(ended.tail, 10_000), DETAIL_CHARACTERS)
  const detail = [skipped, log].filter((part) => part !== '').join('\n')
  if (ended.isTimeout)
    throw new JobError('timeout', `The job worked longer than ${timeoutSeconds} s, and was ended`, detail)
  if (verdictOf(ended) === 'out_of_memory')
    throw new JobError('out_of_memory', `Memory ran out (exit_code: ${ended.exitCode})`, detail)
  if (ended.exitCode !== 0) throw new JobError('nonzero_exit', `exit_code: ${ended.exitCode}`, detail)
  return skipped
}

function lastCharacters(text: string, count: number): string {
  return Array.from(text).slice(-count).join('')
}

/** Does work again while its surroundings don't allow it: the slot's share of the machine is the job's meanwhile. */
async function untilPossible<T>(
  { clock }: Pick<FetcherServices, 'clock'>,
  { signal, log, timeline }: JobContext,
  work: () => Promise<T>,
): Promise<T> {
  const since = clock.now()
  for (let n = 0; ; n += 1) {
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof NotYetError) {
        if (n === 0) log.info('Job waits', { reason: error.message })
        const time = clock.sleep(error.retryAfterSeconds * 1000, signal)
        time.catch(() => undefined)
        await (error.sooner === undefined ? time : Promise.race([time, error.sooner]))
        signal.throwIfAborted()
        continue
      }
      // What has run once may not be fit to run again.
      const isOver = timeline.startedAt !== undefined || clock.now() - since > PATIENCE_MS
      if (!(error instanceof RetryableError) || isOver) throw error
      log.warn('The surroundings failed; trying again', {
        surrounding: error.surrounding,
        error: error.message,
      })
      await clock.sleep(retryPauseMs(n, 2000, 30_000), signal)
    }
  }
}

async function byImage<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof ImageError) throw invalid(error.message, error)
    throw error
  }
}

function invalid(text: string, cause?: unknown): JobError {
  return new JobError('input_missing', text, '', { cause })
}

/** What its owner is told of a job that ends undone. */
function whyOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return `The worker was stopped before the job ended: ${messageOf(signal.reason)}`
  return `The worker could not run the job: ${messageOf(error)}`
}
