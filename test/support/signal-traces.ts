import { getEventListeners } from 'node:events'

/** How much hangs on a signal: its listeners, and what AbortSignal.any keeps in it, with all that hangs on that. */
export function signalTraces(signal: AbortSignal): number {
  const key = Object.getOwnPropertySymbols(signal).find(
    ({ description }) => description === 'kDependantSignals',
  )
  const weak =
    key === undefined ? undefined : (signal as never as Record<symbol, Iterable<WeakRef<AbortSignal>>>)[key]
  let traces = getEventListeners(signal, 'abort').length
  for (const reference of weak ?? []) {
    const dependant = reference.deref()
    traces += 1 + (dependant === undefined ? 0 : signalTraces(dependant))
  }
  return traces
}
