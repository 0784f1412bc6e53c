import type { Clock } from '../../../core/clock.ts'
import { RetryableError } from '../../../core/errors.ts'
import type { Logger } from '../../../core/log.ts'
import type { Engine } from '../api/engine.ts'
import { pullError } from '../api/errors.ts'
import { progressMessages, type ProgressMessage } from '../api/json-lines.ts'
import type { ImageReference } from './reference.ts'

/** What is to be pulled. */
export interface Wanted extends ImageReference {
  /** As it was written. */
  image: string
  /** `os/arch[/variant]`; left out = the engine's own. */
  platform: string | undefined
}

export interface PullServices {
  engine: Engine
  clock: Clock
  log: Logger
}

export interface PullBounds {
  /** Longest silence until the registry has answered at all. */
  answerMs: number
  /** Longest silence of a download. */
  silenceMs: number
}

/** Longest silence while a layer is unpacked: of a file that is nothing but zeros nothing is to be told for long. */
const UNPACK_SILENCE_MS = 15 * 60_000
const PROGRESS_EVERY_MS = 10_000

/**
 * One try to pull an image; says whether anything had to be fetched. ImageError or RetryableError when it fails, and the
 * signal's reason.
 */
export async function pullOnce(
  { engine, clock, log }: PullServices,
  wanted: Wanted,
  { answerMs, silenceMs }: PullBounds,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<boolean> {
  const { image, platform, repository, tag, registry } = wanted
  const silence = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const expectWord = (ms: number): void => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      const text = `Pulling ${image} stopped: nothing came from ${registry} for ${ms / 1000} s`
      silence.abort(new RetryableError('registry', text))
    }, ms)
  }
  expectWord(answerMs)
  try {
    const response = await engine.open('POST', '/images/create', {
      query: { fromImage: repository, tag, ...(platform === undefined ? {} : { platform }) },
      headers,
      silenceMs: 0,
      signal: AbortSignal.any([signal, silence.signal]),
    })
    const progress = new Progress(log.child({ image }), clock)
    for await (const message of progressMessages(response, engine.label)) {
      progress.add(message)
      expectWord(progress.isUnpacking ? UNPACK_SILENCE_MS : silenceMs)
    }
    return progress.hasFetched
  } catch (error) {
    signal.throwIfAborted()
    silence.signal.throwIfAborted()
    throw pullError(error, image)
  } finally {
    clearTimeout(timer)
  }
}

/** Says now and then how far a download is. */
class Progress {
  hasFetched = false
  /** Layer → its last status. */
  readonly #statuses = new Map<string, string>()
  readonly #layers = new Map<string, { current: number; total: number }>()
  readonly #log: Logger
  readonly #clock: Clock
  #saidAt: number

  constructor(log: Logger, clock: Clock) {
    this.#log = log
    this.#clock = clock
    this.#saidAt = clock.now()
  }

  get isUnpacking(): boolean {
    return [...this.#statuses.values()].some((status) => /^(extracting|verifying)/i.test(status))
  }

  add({ id, status, progressDetail }: ProgressMessage): void {
    if (id === undefined || status === undefined) return
    this.#statuses.set(id, status)
    if (status !== 'Downloading') return
    this.hasFetched = true
    const { current = 0, total = 0 } = progressDetail ?? {}
    this.#layers.set(id, { current, total })
    if (this.#clock.now() - this.#saidAt < PROGRESS_EVERY_MS) return
    this.#saidAt = this.#clock.now()
    const sum = (key: 'current' | 'total'): number =>
      [...this.#layers.values()].reduce((n, one) => n + one[key], 0)
    this.#log.info('Pulling goes on', {
      layers: this.#layers.size,
      bytes: sum('current'),
      of_bytes: sum('total'),
    })
  }
}
