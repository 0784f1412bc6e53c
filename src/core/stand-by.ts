import { randomUUID } from 'node:crypto'
import type { Clock } from './clock.ts'
import { messageOf } from './errors.ts'
import { heirPatienceMs, judgeMessage, type LeaseRecord, type LeaseRecords } from './lease-record.ts'
import type { Logger } from './log.ts'

export interface StandByOptions {
  records: LeaseRecords
  job: string
  /** Number of the message's copy. */
  guard: number
  /** Of an owner whose record does not say it. */
  holdSeconds: number
  /** Pause between two looks. */
  everyMs: number
  /** Aborted when the message is lost or has to be given back. */
  signal: AbortSignal
  /** A place to run in, if one is free at this moment. */
  takeSlot: () => number | undefined
  releaseSlot: (slot: number) => void
  clock: Clock
  log: Logger
}

/** What standing by came to. */
export type StandByEnd =
  | { state: 'ordinary' } // nobody works the job by a record: the message is the lease, or there is a result
  | { state: 'stale' } // a later copy is on the queue
  | { state: 'taken'; slot: number; token: string; since: number } // the owner is dead, the job is ours

/**
 * Watches the owner of a job whose message was received: until the record is gone, the message is out of date, or the
 * owner gave no sign of life for so long that the job is taken over. Holds no slot. Rejects with the signal's reason.
 */
export async function standBy(options: StandByOptions): Promise<StandByEnd> {
  const { records, job, guard, clock, log, signal, everyMs, takeSlot, releaseSlot } = options
  let seen: { record: LeaseRecord; at: number } | undefined
  for (;;) {
    signal.throwIfAborted()
    const record = await readPatiently(options)
    const finding = judgeMessage(guard, record)
    if (finding !== 'owned' || record === undefined)
      return { state: finding === 'stale' ? 'stale' : 'ordinary' }
    // By our own clock, and from when it was read to the end: never too early.
    const now = clock.now()
    if (seen?.record.token !== record.token || seen.record.beat !== record.beat) {
      if (seen === undefined) log.info('The job is worked by its lease record; standing by')
      seen = { record, at: now }
    } else if (now - seen.at >= heirPatienceMs(record.holdSeconds ?? options.holdSeconds)) {
      const slot = takeSlot()
      if (slot !== undefined) {
        const token = randomUUID()
        const since = clock.now()
        try {
          if (await records.take(job, record, token)) {
            log.warn('The owner of the job gave no sign of life; the job is taken over')
            return { state: 'taken', slot, token, since }
          }
        } catch (error) {
          // If it had its effect all the same, nobody beats that token, and the next look begins anew.
          log.warn('Taking the job over failed; trying again', { error: messageOf(error) })
        }
        releaseSlot(slot)
        seen = undefined
      }
    }
    await clock.sleep(everyMs, signal)
  }
}

async function readPatiently(options: StandByOptions): Promise<LeaseRecord | undefined> {
  const { records, job, clock, everyMs, signal, log } = options
  for (;;) {
    try {
      return await records.read(job)
    } catch (error) {
      log.warn('Reading the lease record failed; trying again', { error: messageOf(error) })
      await clock.sleep(everyMs, signal)
    }
  }
}
