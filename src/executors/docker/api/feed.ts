import type { Writable } from 'node:stream'
import type { TaskInput } from '../../executor.ts'

/**
 * Writes a task's input and half-closes the stream. Resolves when all is written or nobody reads any more: the stream
 * broke, or the task, whose end `ended` tells, has ended. Throws what the input throws.
 */
export async function feed(stream: Writable, input: TaskInput, ended: Promise<unknown>): Promise<void> {
  const over = new Over()
  stream.once('close', over.set)
  // A container that never reads keeps the connection open, whatever becomes of it.
  ended.then(over.set, over.set)
  const parts = input instanceof Uint8Array ? [input] : input
  const iterator = Symbol.asyncIterator in parts ? parts[Symbol.asyncIterator]() : parts[Symbol.iterator]()
  for (;;) {
    const next = await over.or(Promise.resolve(iterator.next()))
    if (next === 'over') break
    if (next.done === true) {
      await over.or(new Promise<void>((resolve) => stream.end(resolve)))
      return
    }
    if (stream.destroyed) break
    if (stream.write(next.value)) continue
    const drained = new Promise<void>((resolve) => stream.once('drain', resolve))
    if ((await over.or(drained)) === 'over') break
  }
  // Not awaited: a source that hangs would hang us.
  void Promise.resolve(iterator.return?.()).catch(() => undefined)
}

/** Something that happens once. A promise in its place would hold on to all that was ever raced against it. */
class Over {
  #isSet = false
  #wake: () => void = () => undefined

  readonly set = (): void => {
    this.#isSet = true
    this.#wake()
  }

  /** What the promise resolves to, or 'over', whichever comes first. */
  async or<T>(promise: Promise<T>): Promise<T | 'over'> {
    return await new Promise((resolve, reject) => {
      this.#wake = () => {
        resolve('over')
      }
      promise.then(resolve, reject)
      if (this.#isSet) this.#wake()
    })
  }
}
