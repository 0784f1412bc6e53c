import type { Place } from '../kinds/fetcher/services.ts'

/** What a machine has for jobs. */
export interface Machine {
  cpus: number
  memoryBytes: number
  /** In the order in which they are shared out. */
  gpus: readonly { uuid: string; model?: string; memoryMib?: number; architecture?: string }[]
}

const MIB = 1024 ** 2

/** An equal share of a machine for each of its slots, GPUs as whole ones; those with fewer GPUs come first. */
export function sharesOf({ cpus, memoryBytes, gpus }: Machine, slots: number): Place[] {
  const places = Array.from({ length: slots }, (_, slot): Place => {
    const own = gpus.filter((_gpu, n) => n % slots === slot)
    // Of several the weakest: a job may be given any of them.
    const weakest = own.toSorted((a, b) => (a.memoryMib ?? 0) - (b.memoryMib ?? 0))[0]
    return {
      offer: {
        cpuCores: Math.max(1, Math.floor(cpus / slots)),
        memoryMib: Math.floor(memoryBytes / MIB / slots),
        ...(weakest?.model !== undefined && { gpuModel: weakest.model }),
        ...(weakest?.memoryMib !== undefined && { gpuMemoryMib: weakest.memoryMib }),
        ...(weakest?.architecture !== undefined && { gpuArchitecture: weakest.architecture }),
      },
      gpus: own.map(({ uuid }) => uuid),
    }
  })
  return places.toSorted((a, b) => a.gpus.length - b.gpus.length)
}

/** Places of which each is free or a job's. */
export class PlacePool {
  readonly #all: readonly Place[]
  readonly #taken = new Set<Place>()

  constructor(places: readonly Place[]) {
    this.#all = places
  }

  free(): readonly Place[] {
    return this.#all.filter((place) => !this.#taken.has(place))
  }

  take(place: Place): void {
    this.#taken.add(place)
  }

  giveBack(place: Place): void {
    this.#taken.delete(place)
  }
}
