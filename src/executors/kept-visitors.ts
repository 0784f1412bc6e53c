export type KeptPhase = 'create' | 'start' | 'load'

/** Those who wait for a container to be ready, or for a place in it, and want to know how far it is. */
export class Visitors {
  readonly #all = new Set<{ onPhase: (phase: KeptPhase) => void }>()
  #phase: KeptPhase | undefined

  get count(): number {
    return this.#all.size
  }

  /** Comes in; call what it returns to leave. */
  enter(onPhase: (phase: KeptPhase) => void): () => void {
    const visitor = { onPhase }
    this.#all.add(visitor)
    if (this.#phase !== undefined) onPhase(this.#phase)
    return () => {
      this.#all.delete(visitor)
    }
  }

  /** A phase has begun; undefined = the last one is over. */
  tell(phase: KeptPhase | undefined): void {
    this.#phase = phase
    if (phase === undefined) return
    for (const { onPhase } of this.#all) onPhase(phase)
  }
}
