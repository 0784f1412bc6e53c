import { randomBytes } from 'node:crypto'
import { EXIT, messageOf, OperatorError, RetryableError } from '../../../core/errors.ts'
import { ImageError } from '../../executor.ts'
import { containerBody, type Ownership } from '../container.ts'
import { createContainer } from '../create.ts'
import { asRecord } from '../../../core/unknown-json.ts'
import type { Engine } from '../api/engine.ts'
import { engineKind } from '../api/engine-kind.ts'
import { EngineError, surroundingError } from '../api/errors.ts'
import { importHolderImage } from '../network/holder-image.ts'
import type { Removals } from '../removals.ts'
import { SECCOMP_PROFILE } from './seccomp.ts'
import { NO_SETTING, withinWalls } from './walls.ts'

const KIND = 'wall-check'
const WHAT = "Untrusted code can't be kept within walls here"
const MIB = 1024 ** 2

/** What `/info` says of the bounds that the kernel lets the engine set. */
const BOUNDS = { MemoryLimit: 'memory', CpuCfsQuota: 'processor time', PidsLimit: 'the number of processes' }

/** Finds out whether an engine can keep tasks within walls: by what it says, and by a container that does nothing. */
export class WallTrial {
  readonly #engine: Engine
  readonly #removals: Removals
  readonly #ownership: () => Promise<Ownership>

  constructor(engine: Engine, removals: Removals, ownership: () => Promise<Ownership>) {
    this.#engine = engine
    this.#removals = removals
    this.#ownership = ownership
  }

  /** Throws OperatorError when it can't, by the runtime of this name (undefined = the engine's own). */
  async assert(runtime: string | undefined, signal: AbortSignal): Promise<void> {
    const { product } = await engineKind(this.#engine)
    if (product !== 'Docker') throw refusal(`${product} has not been tried with all of them`, 'Use Docker.')
    const info = asRecord(await this.#engine.json('GET', '/info', { signal }))
    assertRuntime(runtime, info)
    const { SecurityOptions: options } = info
    if (Array.isArray(options) && options.includes('name=userns')) {
      throw refusal(
        'the engine maps users (userns-remap), so that no working folder can be given to one of them',
        'Use an engine without userns-remap, or a rootless one.',
      )
    }
    const unbound = Object.entries(BOUNDS).filter(([key]) => info[key] === false)
    if (unbound.length > 0) {
      const what = unbound.map(([, name]) => name).join(' and ')
      throw refusal(
        `the engine can't limit ${what}`,
        'Turn on the control groups for it: `docker info` warns of each, and its documentation says how.',
      )
    }
    await this.#try(runtime, signal)
  }

  /**
   * To be called when an image could not be started: throws RetryableError when a program of ours can't be either, since
   * the engine is at fault then. What it says by itself of a start is no proof: much of that an image can provoke.
   */
  async blame(failure: unknown, runtime: string | undefined, signal: AbortSignal): Promise<void> {
    if (!(failure instanceof ImageError) || failure.reason !== 'not_startable') return
    try {
      await this.assert(runtime, signal)
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      throw new RetryableError('engine', `${error.message}. ${error.hint}`, { cause: error })
    }
  }

  async #try(runtime: string | undefined, signal: AbortSignal): Promise<void> {
    const engine = this.#engine
    const image = await importHolderImage(engine)
    if (image === undefined) throw refusal('this processor is not known', 'Use one of x86_64 or arm64.')
    const name = `${KIND}-${randomBytes(8).toString('hex')}`
    const spec = withinWalls({
      ...{ name, kind: KIND, image, environment: {}, keep: false },
      limits: { memoryBytes: 64 * MIB, pids: 16, cpus: 1, ...(runtime === undefined ? {} : { runtime }) },
      walls: { seccomp: SECCOMP_PROFILE, workdir: { path: '/work', bytes: MIB, inodes: 16, uid: 65534 } },
    })
    const body = containerBody(spec, await this.#ownership(), {
      ...{ networkMode: 'none', hostsFile: undefined },
      walls: { ...NO_SETTING, image },
    })
    signal.throwIfAborted()
    try {
      const { warnings } = await createContainer({ engine, removals: this.#removals }, { name, body })
      const gap = warnings.find((each) => /discarded/i.test(each))
      if (gap !== undefined) throw refusal(gap, 'See what `docker info` warns of.')
      await engine.json('POST', `/containers/${name}/start`, { signal })
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof EngineError) throw trialError(error, runtime)
      throw error
    } finally {
      await this.#removals.remove(name)
    }
  }
}

function assertRuntime(runtime: string | undefined, info: Record<string, unknown>): void {
  const names = Object.keys(asRecord(info['Runtimes']))
  // A shim of containerd need not be registered with newer engines: the trial shows whether it is there.
  if (runtime === undefined || names.includes(runtime) || runtime.startsWith('io.containerd.')) return
  throw refusal(
    `the engine has no runtime ${JSON.stringify(runtime)}; it has ${names.join(', ')}`,
    `Install it on the machine of the engine, name it under "runtimes" in /etc/docker/daemon.json, restart Docker; or choose another one.`,
  )
}

function trialError(error: EngineError, runtime: string | undefined): unknown {
  if (error.message.includes('docker-init') && error.message.includes('not found')) {
    return refusal(
      `the engine has no docker-init (${error.message})`,
      "Install it on the engine's machine: it is part of Docker's own packages, and of Debian's package tini.",
    )
  }
  const sorted = surroundingError(error)
  if (sorted instanceof RetryableError && sorted.surrounding === 'disk') return sorted
  const how = runtime === undefined ? '' : ` with the runtime ${runtime}`
  return refusal(
    `the engine does not start a container within them${how}: ${messageOf(error)}`,
    runtime === undefined
      ? 'Update Docker, and see its log.'
      : `Try \`docker run --runtime ${runtime} …\` by hand.`,
  )
}

function refusal(why: string, hint: string): OperatorError {
  return new OperatorError(WHAT, why, hint, EXIT.unavailable)
}
