import type { Delivery, Queue } from '../../../src/queues/queue.ts'
import type { Store } from '../../../src/stores/store.ts'

/**
 * A process that may be killed between any two instants: once dead, none of its calls does anything, and none of
 * its waits ends. `beforeCall` says of each call to table and queue whether it is the last one.
 */
export class Mortal {
  calls = 0
  isDead = false
  readonly #fate: (call: number) => 'lives' | 'dies before' | 'dies after'
  readonly #onDeath: () => void

  constructor(fate: (call: number) => 'lives' | 'dies before' | 'dies after', onDeath: () => void) {
    this.#fate = fate
    this.#onDeath = onDeath
  }

  /** Makes one call to the outside, unless death comes first. */
  async call<T>(work: () => Promise<T>): Promise<T> {
    this.calls += 1
    const fate = this.isDead ? 'dies before' : this.#fate(this.calls)
    if (fate === 'dies before') return await this.#die<T>()
    const result = await work()
    if (fate === 'dies after') return await this.#die<T>()
    return this.isDead ? await this.#die<T>() : result
  }

  store(store: Store): Store {
    const call = <T>(work: () => Promise<T>): Promise<T> => this.call(work)
    return {
      probe: (signal) => call(() => store.probe(signal)),
      get: (key, signal) => call(() => store.get(key, signal)),
      put: (items, onlyIfAbsent) => call(() => store.put(items, onlyIfAbsent)),
      update: (item, condition, assertHeld) => call(() => store.update(item, condition, assertHeld)),
      remove: (items, absent) => call(() => store.remove(items, absent)),
      query: async function* (id, range, signal) {
        await call(() => Promise.resolve())
        yield* store.query(id, range, signal)
      },
      scan: async function* (idPrefix, signal) {
        await call(() => Promise.resolve())
        yield* store.scan(idPrefix, signal)
      },
      close: () => {
        store.close()
      },
    }
  }

  queue(queue: Queue): Queue {
    const mortal = (delivery: Delivery): Delivery => ({
      ...delivery,
      extend: (seconds) => this.call(() => delivery.extend(seconds)),
      ack: () => this.call(() => delivery.ack()),
      release: (seconds) => this.call(() => delivery.release(seconds)),
    })
    return {
      probe: (signal) => this.call(() => queue.probe(signal)),
      receive: (max, signal) =>
        this.call(async () => (await queue.receive(max, signal)).map((delivery) => mortal(delivery))),
      send: (body) => this.call(() => queue.send(body)),
      redrive: (signal) => this.call(() => queue.redrive(signal)),
      close: () => {
        queue.close()
      },
    }
  }

  async #die<T>(): Promise<T> {
    if (!this.isDead) {
      this.isDead = true
      this.#onDeath()
    }
    return await new Promise<T>(() => undefined)
  }
}
