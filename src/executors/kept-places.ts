interface Waiter {
  admit(): void
  turnAway(): void
}

/** The places for calls in one container: first come, first served. How many there are may change. */
export class Places {
  readonly #mayAdmit: (taken: number) => boolean
  readonly #waiting = new Set<Waiter>()
  /** Places that are taken. */
  taken = 0

  constructor(mayAdmit: (taken: number) => boolean) {
    this.#mayAdmit = mayAdmit
  }

  /** Takes a place when there is one; false when everybody is turned away first. */
  async take(signal: AbortSignal): Promise<boolean> {
    if (this.#waiting.size === 0 && this.#mayAdmit(this.taken)) {
      this.taken += 1
      return true
    }
    return await new Promise<boolean>((resolve, reject) => {
      const settle = (work: () => void): void => {
        this.#waiting.delete(waiter)
        signal.removeEventListener('abort', leave)
        work()
      }
      const leave = (): void => {
        settle(() => {
          reject(signal.reason as Error)
        })
      }
      const waiter: Waiter = {
        admit: () => {
          this.taken += 1
          settle(() => {
            resolve(true)
          })
        },
        turnAway: () => {
          settle(() => {
            resolve(false)
          })
        },
      }
      this.#waiting.add(waiter)
      signal.addEventListener('abort', leave, { once: true })
      if (signal.aborted) leave()
    })
  }

  /** Lets in those who may. */
  admit(): void {
    for (const waiter of [...this.#waiting]) if (this.#mayAdmit(this.taken)) waiter.admit()
  }

  /** Sends away all who wait. */
  turnAway(): void {
    for (const waiter of [...this.#waiting]) waiter.turnAway()
  }
}
