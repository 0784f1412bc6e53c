/** Runs tasks one after the other, in the order in which they were given; one that fails stops no other. */
export type Serialiser = <T>(task: () => Promise<T>) => Promise<T>

export function createSerialiser(): Serialiser {
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const result = last.then(task)
    last = result.catch(() => undefined)
    return result
  }
}
