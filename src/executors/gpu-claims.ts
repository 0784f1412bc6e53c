import type { Clock } from '../core/clock.ts'
import type { OwnedFiles } from './owned-files.ts'

/** A GPU that is ours alone until it is released. */
export interface GpuClaim {
  readonly uuid: string
  release(): Promise<void>
}

/** Two that claim at the same time both step back, and try again. */
const TRIES = 8
/** What stands before a UUID in the names of its claims. */
const CLAIM = 'gpu='

/**
 * Who has which GPU, among all processes that share a folder. A claim is written first and the others are looked for
 * afterwards: of two at the same time at least one sees the other, so never both have the GPU.
 */
export class GpuClaims {
  readonly #files: OwnedFiles
  readonly #clock: Clock

  constructor(files: OwnedFiles, clock: Clock) {
    this.#files = files
    this.#clock = clock
  }

  /** Claims a GPU; undefined when somebody has it. */
  async take(uuid: string): Promise<GpuClaim | undefined> {
    for (let n = 0; n < TRIES; n += 1) {
      if (n > 0) await this.#clock.sleep((1 + Math.random()) * 4 * 2 ** Math.min(n, 5))
      const isTaken = await this.#isTaken(uuid)
      if (isTaken && n === 0) return undefined
      // Perhaps by one that is about to step back, too.
      if (isTaken) continue
      const file = await this.#files.write(CLAIM + uuid)
      if (!(await this.#isTaken(uuid, file))) return { uuid, release: () => this.#files.remove(file) }
      await this.#files.remove(file)
    }
    return undefined
  }

  /** The GPUs that somebody has, we or others. */
  async taken(): Promise<Set<string>> {
    const names = (await this.#files.living()).map(({ name }) => name)
    return new Set(names.filter((name) => name.startsWith(CLAIM)).map((name) => name.slice(CLAIM.length)))
  }

  async #isTaken(uuid: string, own?: string): Promise<boolean> {
    return (await this.#files.living(CLAIM + uuid)).some(({ file }) => file !== own)
  }
}
