/** Why the runner stops, as two strengths; the reason of each signal is the Error that says why. */
export interface Stop {
  /** Aborted first: no new jobs; running ones may finish. */
  readonly drain: AbortSignal
  /** Aborted second, or when the grace is over: kill the containers, release the messages, record nothing. */
  readonly abort: AbortSignal
  /** Begins the drain; `abort` follows by itself when the grace is over. Further calls do nothing. */
  requestDrain(why: string): void
  /** Drains and aborts at once. */
  requestAbort(why: string): void
  /** Ends the grace timer, so that it keeps no process alive. */
  dispose(): void
}
