import type { Clock } from '../../../core/clock.ts'
import type { Usage } from '../../executor.ts'
import type { ControlGroup } from './control-groups.ts'
import type { Engine } from '../api/engine.ts'
import type { HostView } from '../host/host-view.ts'
import { jsonLines } from '../api/json-lines.ts'

/** Tells what a container has used. */
export interface Meter {
  usage(): Usage
  /** Its container has been killed: nothing is to keep that from ending. */
  hasten(containerId: string): void
  /** To be called when its container is gone. */
  close(): void
}

export interface MeterServices {
  engine: Engine
  host: HostView
  clock: Clock
}

/** Of its control group's end nothing more can be told, so it is looked at often: that costs a hundredth of this. */
const LOOK_MS = 50

/** What counts for a container that has just been started: a group above its own, or looks at it now and then. */
export function meterOf(services: MeterServices, id: string, group: ControlGroup | undefined): Meter {
  return group ?? new Sampler(services, id)
}

/** Looks at a running container every now and then; what it uses after the last look is not seen. */
class Sampler implements Meter {
  readonly #services: MeterServices
  readonly #id: string
  readonly #closed = new AbortController()
  #last: Usage = {}

  constructor(services: MeterServices, id: string) {
    this.#services = services
    this.#id = id
    // Ended by `close`, or by the container's own end.
    this.#watch().catch(() => undefined)
  }

  usage(): Usage {
    return this.#last
  }

  hasten(): void {
    // What can't be counted from here can't be changed either.
  }

  close(): void {
    this.#closed.abort()
  }

  async #watch(): Promise<void> {
    const { engine, host, clock } = this.#services
    const { signal } = this.#closed
    const process = await host.processOf(this.#id)
    if (process !== undefined) {
      for (let seen = process.usage(); seen !== undefined; seen = process.usage()) {
        this.#note(seen)
        await clock.sleep(LOOK_MS, signal)
      }
      return
    }
    const path = `/containers/${this.#id}/stats`
    const response = await engine.open('GET', path, { query: { stream: '1' }, silenceMs: 0, signal })
    for await (const stats of jsonLines(response, engine.label)) this.#note(usageIn(stats as Stats))
  }

  #note({ cpuMs = 0, memoryPeakBytes = 0 }: Usage): void {
    const cpu = Math.max(cpuMs, this.#last.cpuMs ?? 0)
    const peak = Math.max(memoryPeakBytes, this.#last.memoryPeakBytes ?? 0)
    this.#last = { ...(cpu > 0 ? { cpuMs: cpu } : {}), ...(peak > 0 ? { memoryPeakBytes: peak } : {}) }
  }
}

/** What is read of the engine's own measurements. */
interface Stats {
  cpu_stats?: { cpu_usage?: { total_usage?: number } }
  memory_stats?: { usage?: number; max_usage?: number }
}

function usageIn({ cpu_stats: cpu, memory_stats: memory }: Stats): Usage {
  return {
    cpuMs: (cpu?.cpu_usage?.total_usage ?? 0) / 1e6,
    memoryPeakBytes: memory?.max_usage ?? memory?.usage ?? 0,
  }
}
