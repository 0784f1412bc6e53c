import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { Delivery, Queue } from '../queue.ts'
import { JobSession } from './job-session.ts'
import { asSurroundings } from './troubles.ts'
import type { Announcement, WorkerApi } from './worker-api.ts'

/** What is free for jobs: each is offered to the API while no job has it. */
export interface Places<P extends { offer: Announcement }> {
  /** The smallest first, so that a small job leaves the large ones alone. */
  free(): readonly P[]
  take(place: P): void
  giveBack(place: P): void
}

export interface WorkerQueueOptions<P extends { offer: Announcement }> {
  api: WorkerApi
  places: Places<P>
  clock: Clock
  log: Logger
}

/** A job that the API has given to this process. */
export interface OpenJob<P> {
  session: JobSession
  place: P
  /** Another job may have its place; nothing of it runs any more. */
  leave(): void
}

/** A queue whose jobs can be looked up while they are open. */
export interface WorkerQueue<P> extends Queue {
  /** Throws for one that is not open. */
  job(id: string): OpenJob<P>
}

/** For requests that nobody stops. */
const NEVER = new AbortController().signal

/** The jobs of a worker-facing API as a queue: each delivery is a job that was given to this process alone. */
export function createWorkerQueue<P extends { offer: Announcement }>({
  api,
  places,
  clock,
  log,
}: WorkerQueueOptions<P>): WorkerQueue<P> {
  const open = new Map<string, OpenJob<P>>()

  async function receiveInto(place: P, signal: AbortSignal): Promise<Delivery | undefined> {
    const receivedAt = clock.now()
    const found = await api.fetchJob(place.offer, signal)
    if (found === undefined) return undefined
    const { id, specs } = found
    if (open.has(id)) {
      // It was put back while this process did not get through to the API, which says so soon.
      log.warn('The API hands out a job again that this process still has', { job: id })
      return undefined
    }
    const session = new JobSession(id, api, clock)
    const leave = (): void => {
      if (open.get(id)?.session !== session) return
      open.delete(id)
      places.giveBack(place)
    }
    places.take(place)
    open.set(id, { session, place, leave })
    return {
      id,
      body: JSON.stringify({ id, specs }),
      attempt: 1,
      guard: 0,
      sentAt: sentAtOf(specs),
      receivedAt,
      extend: () => session.keepAlive(NEVER),
      ack: () => {
        leave()
        return Promise.resolve()
      },
      release: async () => {
        try {
          await session.abandon(NEVER)
        } finally {
          leave()
        }
      },
    }
  }

  return {
    probe: (signal) => api.probe(signal),
    receive: async (max, signal) => {
      const received: Delivery[] = []
      const empty = new Set<string>()
      for (const place of places.free()) {
        const kind = JSON.stringify(place.offer)
        if (received.length >= max || empty.has(kind)) continue
        try {
          const delivery = await receiveInto(place, signal)
          if (delivery === undefined) empty.add(kind)
          else received.push(delivery)
        } catch (error) {
          // What has come already is not to be lost.
          if (received.length === 0) throw asSurroundings(error)
          break
        }
      }
      return received
    },
    send: () => Promise.reject(new Error('jobs are handed in at the API by their users')),
    redrive: () => Promise.resolve('unknown'),
    job: (id) => {
      const found = open.get(id)
      if (found === undefined) throw new Error(`the job ${id} is not open`)
      return found
    },
    close: () => {
      api.close()
    },
  }
}

function sentAtOf(specs: unknown): Date | undefined {
  const { meta } = (specs ?? {}) as { meta?: { date_created?: unknown } | null }
  const created = meta?.date_created
  const date = typeof created === 'string' ? new Date(created) : undefined
  return date === undefined || Number.isNaN(date.getTime()) ? undefined : date
}
