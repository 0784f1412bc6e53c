/** What a promise resolves to; throws the signal's reason when that is aborted first. The promise itself goes on. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const leave = (): void => {
      reject(signal.reason as Error)
    }
    signal.addEventListener('abort', leave, { once: true })
    if (signal.aborted) leave()
    void promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', leave)
    })
  })
}
