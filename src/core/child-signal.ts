import { setMaxListeners } from 'node:events'

/**
 * A signal that ends with the first of its parents, or by `cut`; `free` when it is not needed any more. AbortSignal.any
 * would leave a trace of each in parents that live as long as the process (Node 20).
 */
export function childSignal(...parents: readonly AbortSignal[]): {
  signal: AbortSignal
  cut: (reason?: unknown) => void
  free: () => void
} {
  const own = new AbortController()
  const follow = (): void => {
    own.abort(parents.find(({ aborted }) => aborted)?.reason)
  }
  // Any number of children at a time is no leak.
  setMaxListeners(0, ...parents)
  for (const parent of parents) parent.addEventListener('abort', follow, { once: true })
  if (parents.some(({ aborted }) => aborted)) follow()
  return {
    signal: own.signal,
    cut: (reason) => {
      own.abort(reason)
    },
    free: () => {
      for (const parent of parents) parent.removeEventListener('abort', follow)
    },
  }
}
