import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runRunner } from '../app.ts'
import { openTable, type Table } from '../app/table.ts'
import { configSchema, type Config } from '../config/schema.ts'
import { systemClock } from '../core/clock.ts'
import { EXIT, OperatorError } from '../core/errors.ts'
import { ExactNumber } from '../core/exact-number.ts'
import { fromPlain } from '../core/json.ts'
import { createStop, type Stop } from '../core/stop.ts'
import { playCompetition, type Evaluation, type PlayedTrial, type Score } from '../demo/competition.ts'
import { loadDemoImages, type DemoImage } from '../demo/images.ts'
import { createDemoParticipants, DEMO } from '../demo/settings.ts'
import type { Engine } from '../executors/docker/api/engine.ts'
import { importHostNodeImage } from '../executors/docker/images/host-image.ts'
import type { TrialKindName } from '../kinds/index.ts'
import { findDocker } from './find-docker.ts'
import { wantsColor, type Io, type Session } from './io.ts'
import { openDemoLog, type RunnerLog } from './logging.ts'
import { renderPlot } from './plot.ts'
import { findResult, type ResultView } from './result-view.ts'
import { watchSignals } from './signals.ts'
import { submitSolution } from './submission.ts'
import { rankParticipants, renderLeaderboard } from './table.ts'

/** Plays the demo and shows how it ended; says the exit code. Nothing but the two images stays. */
export async function playDemo(session: Session): Promise<number> {
  const { io } = session
  const view = openDemoLog(session, configSchema.parse({}))
  // A competition that was broken off is of no use to anybody: nothing is finished first.
  const stop = createStop({ graceMs: 0 })
  const signals = watchSignals(io, stop, view.log)
  const say = (text: string): void => {
    view.print(text)
  }
  try {
    const images = await prepareImages(io, stop.drain, say)
    const dataDir = await mkdtemp(join(tmpdir(), 'opthub-runner-demo-'))
    try {
      const match = randomUUID()
      say(`Playing: ${DEMO.trials} solutions of each of two optimisers, two containers for each solution …`)
      const trials = await playMatch({
        match,
        config: demoConfig(match, images),
        dataDir,
        session,
        view,
        stop,
        say,
      })
      view.close()
      io.stdout.write(`${report(trials, io)}\n`)
      return EXIT.drained
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  } catch (error) {
    if (!stop.drain.aborted) throw error
    return signals.exitCode() ?? EXIT.failedStart
  } finally {
    signals.dispose()
    view.close()
  }
}

interface Images {
  problem: DemoImage
  indicator: DemoImage
}

async function prepareImages(io: Io, signal: AbortSignal, say: (text: string) => void): Promise<Images> {
  const images = await loadDemoImages()
  const engine = await findDocker(io, signal)
  try {
    for (const image of [images.problem, images.indicator]) {
      signal.throwIfAborted()
      const made = await makeImage(engine, image, io, signal)
      say(`${made ? 'Made' : 'Found'} the image ${image.tag}`)
    }
    return images
  } finally {
    engine.close()
  }
}

/** On Linux out of this very Node, so that no registry is needed; elsewhere from the image's Dockerfile. */
async function makeImage(engine: Engine, image: DemoImage, io: Io, signal: AbortSignal): Promise<boolean> {
  if (io.platform !== 'linux') {
    await dockerBuild(image, io, signal)
    return true
  }
  const { made } = await importHostNodeImage(engine, { ...image, nodePath: process.execPath })
  return made
}

async function dockerBuild({ tag, buildFolder }: DemoImage, io: Io, signal: AbortSignal): Promise<void> {
  const child = spawn('docker', ['build', '--tag', tag, buildFolder], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-4000)))
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  if (code === 0) return
  const hint = `Run \`docker build --tag ${tag} ${buildFolder}\` to see why on ${io.platform}.`
  throw new OperatorError(`The image ${tag} could not be built`, output.trim(), hint, EXIT.unavailable)
}

function demoConfig(match: string, { problem, indicator }: Images): Config {
  return configSchema.parse({
    matches: {
      [match]: {
        problem: { image: problem.tag, environment: DEMO.problemEnvironment },
        indicator: { image: indicator.tag, environment: DEMO.indicatorEnvironment },
        direction: DEMO.direction,
      },
    },
    // They were made here, and no registry knows them.
    pull_policy: 'never',
    // A drain waits for the poll in flight.
    wait_time: '1',
  })
}

interface Play {
  match: string
  config: Config
  dataDir: string
  session: Session
  view: RunnerLog
  stop: Stop
  say: (text: string) => void
}

/** Evaluator and scorer work in this process while the competition is played. */
async function playMatch(play: Play): Promise<PlayedTrial[]> {
  const { config, dataDir, view, stop } = play
  const table = await openTable({ config, local: true, dataDir, log: view.log })
  try {
    const ending = new AbortController()
    const signal = AbortSignal.any([stop.drain, ending.signal])
    const runners = [startRunner('evaluator', play), startRunner('scorer', play)]
    for (const runner of runners) {
      // One that can't start, or breaks, ends the competition.
      runner.catch((error: unknown) => {
        ending.abort(error)
      })
    }
    try {
      return await compete(table, play, signal)
    } finally {
      stop.requestDrain('the competition is over')
      // All of them, whatever becomes of one: each still writes to the data folder while it closes.
      await Promise.allSettled(runners)
    }
  } finally {
    await table.close()
  }
}

async function startRunner(
  kind: TrialKindName,
  { config, dataDir, session, view, stop }: Play,
): Promise<void> {
  const { environment, pid } = session.io
  await runRunner({
    kind,
    config,
    command: undefined,
    processName: `demo-${kind}-${pid}`,
    local: true,
    dataDir,
    environment,
    drainQueue: false,
    num: 0,
    concurrency: 2,
    stop,
    log: view.log,
    ...(view.observer === undefined ? {} : { observer: view.observer }),
  })
}

async function compete(
  table: Table,
  { match, view, say }: Play,
  signal: AbortSignal,
): Promise<PlayedTrial[]> {
  const participants = createDemoParticipants()
  const total = participants.length * DEMO.trials
  let scored = 0
  const find = async (
    kind: TrialKindName,
    participantId: string,
    trialNo: string,
  ): Promise<ResultView | undefined> =>
    findResult(table.store, kind, { matchId: match, participantId, trialNo }, signal)
  return playCompetition({
    participants,
    trials: DEMO.trials,
    clock: systemClock,
    signal,
    submit: async (participantId, variable) => {
      const solution = { matchId: match, participantId, variable: fromPlain(variable) }
      return (await submitSolution(table, solution, signal)).trialNo
    },
    evaluationOf: async (participantId, trialNo) =>
      toEvaluation(await find('evaluator', participantId, trialNo)),
    scoreOf: async (participantId, trialNo) => toScore(await find('scorer', participantId, trialNo)),
    onProgress: (trial) => {
      if (trial.score === undefined) return
      scored += 1
      // Where live lines show every job, this would only repeat them.
      if (view.observer === undefined && scored % 10 === 0) say(`${scored} of ${total} solutions are scored`)
    },
  })
}

function toEvaluation(result: ResultView | undefined): Evaluation | undefined {
  if (result === undefined) return undefined
  if (result.status === 'Failed') return { status: 'Failed', message: result.errorMessage }
  return { status: 'Success', objective: numberOf(result) ?? null }
}

function toScore(result: ResultView | undefined): Score | undefined {
  if (result === undefined) return undefined
  const value = numberOf(result)
  if (value === undefined) return { status: 'Failed', message: result.errorMessage }
  return { status: 'Success', value }
}

function numberOf({ value }: ResultView): number | undefined {
  return value instanceof ExactNumber ? value.toNumber() : undefined
}

function report(trials: readonly PlayedTrial[], io: Io): string {
  const scored = trials.map(({ participantId, trialNo, evaluation, score }) => ({
    participantId,
    trialNo,
    failed: evaluation?.status === 'Failed' || score?.status === 'Failed',
    ...(score?.status === 'Success' && { score: score.value }),
  }))
  const names = [...new Set(scored.map(({ participantId }) => participantId))]
  const series = names.map((name) => ({
    name,
    points: scored
      .filter(({ participantId }) => participantId === name)
      .map(({ trialNo, score }) => ({ x: Number(trialNo), y: score ?? null })),
  }))
  const plot = renderPlot(series, {
    width: Math.min(io.stdout.columns ?? 80, 120),
    height: 16,
    title: 'score by trial (best objective so far; less is better)',
    xLabel: 'trial',
    color: wantsColor(io.stdout, io.environment),
  })
  return `${renderLeaderboard(rankParticipants(scored, DEMO.direction))}\n\n${plot}`
}
