import { SendDeniedError, type Delivery, type Queue } from '../queues/queue.ts'
import { releaseDelaySeconds, retryPauseMs } from './backoff.ts'
import type { Clock } from './clock.ts'
import { messageOf } from './errors.ts'
import type { Logger } from './log.ts'
import { Tally } from './tally.ts'

export interface ReturnsOptions {
  queue: Pick<Queue, 'redrive'>
  clock: Clock
  log: Logger
  abort: AbortSignal
}

/** How a message goes back: as it is, as a copy whose receives count from the start, or not at all for now. */
export type WayBack = 'release' | 'copy' | 'hold'

/** Whoever ends a container by hand, or an engine that is upgraded, must not end a trial. */
const FEWEST_ATTEMPTS = 3
/** Where nobody says after how many receives a message is dead-lettered, it may be so few. */
const FEWEST_RECEIVES = 3
/** What AWS's own examples and OptHub's queues have. */
const USUAL_RECEIVES = 10
/** A runner that fits may come at any time; and SQS delays no message by more than 15 minutes. */
const LONGEST_DELAY_SECONDS = 600
const SEND_TRIES = 4
/** Jobs are foreign words: no more of them are remembered. */
const MOST_REMEMBERED = 1000

/**
 * The way back to the queue for jobs that this machine can't run. Each receive counts towards the dead-letter queue, so
 * a message is released only while its count is low; then a copy takes its place, or it is held where none may be sent.
 */
export class Returns {
  readonly #o: ReturnsOptions
  /** How often each job was given back from here. */
  readonly #times = new Tally(MOST_REMEMBERED)
  #redrive: ReturnType<Queue['redrive']> | undefined
  #maySend = true

  constructor(options: ReturnsOptions) {
    this.#o = options
  }

  /** Notes one more return of a job; says how long it is to stay away, and whether it is the first. */
  note(job: string): { afterSeconds: number; isFirst: boolean } {
    const times = this.#times.add(job)
    const afterSeconds = Math.min(releaseDelaySeconds(times), LONGEST_DELAY_SECONDS)
    return { afterSeconds, isFirst: times === 1 }
  }

  /** Whether a message was received so often that it is better held than given back once more. */
  async isNearItsEnd({ attempt }: Delivery): Promise<boolean> {
    if (attempt === 1) return false
    const redrive = await this.#askRedrive()
    if (redrive === 'none') return false
    return attempt >= (redrive === 'unknown' ? USUAL_RECEIVES : redrive.maxReceiveCount) / 2
  }

  /** `most` attempts, or so many that a receive is left before the message is dead-lettered; but never a mere few. */
  async atMost(most: number): Promise<number> {
    const redrive = await this.#askRedrive()
    if (typeof redrive === 'string') return most
    const { maxReceiveCount: receives } = redrive
    return Math.min(most, receives > FEWEST_ATTEMPTS ? receives - 1 : Math.max(2, receives))
  }

  async wayFor({ attempt, sendCopy }: Delivery): Promise<WayBack> {
    const redrive = await this.#askRedrive()
    if (redrive === 'none') return 'release'
    const maySend = this.#maySend && sendCopy !== undefined
    if (redrive === 'unknown' && maySend) return 'copy'
    // Half of them are left to faults of the surroundings.
    const most = redrive === 'unknown' ? FEWEST_RECEIVES : redrive.maxReceiveCount
    if (attempt < most / 2) return 'release'
    return maySend ? 'copy' : 'hold'
  }

  async #askRedrive(): ReturnType<Queue['redrive']> {
    this.#redrive ??= this.#o.queue.redrive(this.#o.abort)
    try {
      return await this.#redrive
    } catch {
      // It is asked again the next time.
      this.#redrive = undefined
      return 'unknown'
    }
  }

  /** Puts a copy on the queue; true once the queue has it for certain. */
  async sendCopy(delivery: Delivery, afterSeconds: number, held: AbortSignal): Promise<boolean> {
    for (let n = 0; n < SEND_TRIES && !held.aborted; n += 1) {
      try {
        await delivery.sendCopy?.({ afterSeconds })
        return delivery.sendCopy !== undefined
      } catch (error) {
        if (error instanceof SendDeniedError) {
          this.#maySend = false
          this.#o.log.warn('No message may be sent: jobs that do not fit this machine are held by it', {
            error: error.message,
          })
          return false
        }
        this.#o.log.warn('Sending the copy of a message failed; trying again', { error: messageOf(error) })
        await this.#o.clock.sleep(retryPauseMs(n, 500, 5000), held).catch(() => undefined)
      }
    }
    return false
  }
}
