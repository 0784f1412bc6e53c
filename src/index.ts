/**
 * The public API: call an image like a function, or run an evaluator or scorer inside another program.
 *
 * @example
 * const { exitCode, stdout } = await runImage({ image: 'my-solver:1.2', args: ['--fast'], input: '{"x": 1}' })
 *
 * @example
 * const { config } = await loadConfig({ file: 'config.yml', required: true, environment, flags: {} })
 * const stop = createStop({ graceMs: 60_000 })
 * await runRunner({ kind: 'evaluator', config, stop, … })
 */
export { runRunner } from './app.ts'
export type { RunnerOptions, TableOptions } from './app/options.ts'
export { openTable, type Table } from './app/table.ts'
export { loadConfig, type LoadedConfig, type LoadOptions } from './config/load.ts'
export type { Config } from './config/schema.ts'
export {
  JobError,
  LeaseLostError,
  NotYetError,
  OperatorError,
  PoisonError,
  RetryableError,
  StoppedError,
  UnfitError,
} from './core/errors.ts'
export { ImageError, type GpuRequest, type TaskLimits } from './executors/executor.ts'
export {
  closeImages,
  createImageRunner,
  runImage,
  type ImageCall,
  type ImageMount,
  type ImageResult,
  type ImageRunner,
  type ImageRunnerOptions,
  type OutputListener,
} from './image-runner.ts'
export { createLogger, type Logger, type LogRecord, type LogSink } from './core/log.ts'
export type { JobOutcome, JobView, WorkerObserver, WorkerState } from './core/observer.ts'
export { createStop, type Stop } from './core/stop.ts'
