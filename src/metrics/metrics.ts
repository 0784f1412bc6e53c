import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import type { WorkerObserver, WorkerState } from '../core/observer.ts'

/** What a runner is, on every figure. */
export interface MetricsOptions {
  kind: string
  processName: string
  slots: number
}

export interface Metrics {
  observer: WorkerObserver
  /** From now on the containers of models are told, too: asked for at each look. */
  watchModels(count: () => Readonly<Record<string, number>>): void
  /** Whether it polls, or drains: not while its surroundings are broken. */
  isReady(): boolean
  /** Why it is not ready. */
  reason(): string
  /** All figures in Prometheus's text format. */
  text(): Promise<string>
}

/** Seconds; from a warm start of a small program to SQS's longest lease. */
const BUCKETS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 14_400, 43_200]

/** Counts what a worker does. */
export function createMetrics({ kind, processName, slots }: MetricsOptions): Metrics {
  const registry = new Registry()
  registry.setDefaultLabels({ kind, process_name: processName })
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const jobs = new Counter({
    name: 'opthub_runner_jobs_total',
    help: 'Deliveries of jobs, by what became of them',
    labelNames: ['outcome'] as const,
    registers,
  })
  const phases = new Histogram({
    name: 'opthub_runner_job_phase_seconds',
    help: 'How long the phases of jobs took',
    labelNames: ['phase'] as const,
    buckets: BUCKETS,
    registers,
  })
  const busy = new Gauge({
    name: 'opthub_runner_slots_busy',
    help: 'Slots with a job in them',
    registers,
  })
  new Gauge({ name: 'opthub_runner_slots', help: 'Jobs at a time, at most', registers }).set(slots)
  const ready = new Gauge({
    name: 'opthub_runner_ready',
    help: '1 while the runner takes jobs, 0 while its surroundings are broken or it stops',
    registers,
  })
  let state: WorkerState = 'starting'
  let why = 'starting'
  return {
    observer: {
      jobStarted: () => {
        busy.inc()
      },
      jobEnded: ({ timeline }, outcome) => {
        busy.dec()
        jobs.inc({ outcome })
        for (const [phase, ms] of Object.entries(timeline.phases())) phases.observe({ phase }, ms / 1000)
      },
      stateChanged: (next, reason) => {
        state = next
        why = reason ?? next
        ready.set(next === 'polling' ? 1 : 0)
      },
    },
    watchModels: (count) => {
      new Gauge({
        name: 'opthub_runner_models',
        help: 'Containers of models that stay, by their state',
        labelNames: ['state'] as const,
        registers,
        collect() {
          for (const [name, containers] of Object.entries(count())) this.set({ state: name }, containers)
        },
      })
    },
    isReady: () => state === 'polling',
    reason: () => why,
    text: () => registry.metrics(),
  }
}
