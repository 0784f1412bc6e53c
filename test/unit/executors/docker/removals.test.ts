import { describe, expect, it } from 'vitest'
import { systemClock } from '../../../../src/core/clock.ts'
import { createLogger } from '../../../../src/core/log.ts'
import { EngineError } from '../../../../src/executors/docker/api/errors.ts'
import { Removals } from '../../../../src/executors/docker/removals.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

const never = new AbortController().signal
const log = createLogger(() => undefined)

/** An engine whose removals end when they are told to. */
class SlowEngine {
  readonly gone: string[] = []
  readonly #open: { path: string; answer: (error?: EngineError) => void }[] = []

  async json(_method: string, path: string): Promise<undefined> {
    await new Promise<void>((resolve, reject) => {
      this.#open.push({
        path,
        answer: (error) => {
          if (error === undefined) resolve()
          else reject(error)
        },
      })
    })
    this.gone.push(path)
  }

  get open(): number {
    return this.#open.length
  }

  /** Answers the one that was asked for first. */
  answer(error?: EngineError): void {
    this.#open.shift()?.answer(error)
  }
}

/** Everything that is under way without the engine and the clock. */
async function idle(): Promise<void> {
  for (let n = 0; n < 3; n += 1) await new Promise(setImmediate)
}

function leave(removals: Removals, count: number): void {
  for (let n = 0; n < count; n += 1) removals.later(`c${n}`)
}

describe('removals behind the back of the jobs', () => {
  it('are two at a time, and more when they pile up', async () => {
    const most: number[] = []
    for (const count of [20, 60, 200]) {
      const engine = new SlowEngine()
      leave(new Removals(engine, systemClock, log), count)
      await idle()
      most.push(engine.open)
    }
    expect(most).toEqual([2, 6, 8])
  })

  it('let the next task wait while too many are to be done', async () => {
    const engine = new SlowEngine()
    const removals = new Removals(engine, systemClock, log)
    leave(removals, 60)
    await removals.room(never)
    leave(removals, 14)
    let hasRoom = false
    const room = removals.room(never).then(() => {
      hasRoom = true
    })
    const stop = new AbortController()
    const given = removals.room(stop.signal)
    stop.abort(new Error('given up'))
    await expect(given).rejects.toThrow('given up')
    engine.answer()
    await idle()
    expect(hasRoom).toBe(false)
    for (let n = 0; n < 2; n += 1) engine.answer()
    await room
  })
})

describe('the end', () => {
  it('waits as long as something goes, many at a time', async () => {
    const engine = new SlowEngine()
    const clock = new ManualClock()
    const removals = new Removals(engine, clock, log)
    leave(removals, 10)
    let isDone = false
    const end = removals.finish().then(() => {
      isDone = true
    })
    await idle()
    expect(engine.open).toBe(8)
    for (let n = 0; n < 10; n += 1) {
      expect(isDone).toBe(false)
      engine.answer()
      await idle()
      await clock.advance(30_000)
    }
    await end
    expect(engine.gone).toHaveLength(10)
  })

  it('does not wait for an engine that gets no further', async () => {
    const engine = new SlowEngine()
    const clock = new ManualClock()
    const removals = new Removals(engine, clock, log)
    leave(removals, 10)
    const end = removals.finish()
    await idle()
    engine.answer()
    await idle()
    await clock.advance(30_000)
    await clock.advance(30_000)
    await end
    expect(engine.gone).toHaveLength(1)
  })
})

describe('another try', () => {
  it('is for many at a time, and for a volume after the containers', async () => {
    const engine = new SlowEngine()
    const clock = { ...systemClock, sleep: () => Promise.resolve() }
    const removals = new Removals(engine, clock, log)
    const busy = new EngineError(500, 'device busy')
    const doomed = [{ volume: 'v' }, ...Array.from({ length: 10 }, (_, n) => `c${n}`)]
    const trials = doomed.map((each) => removals.remove(each))
    for (let n = 0; n < 4; n += 1) {
      await idle()
      while (engine.open > 0) engine.answer(busy)
    }
    expect(await Promise.all(trials)).toEqual(doomed.map(() => false))
    const retry = removals.retry()
    await idle()
    expect(engine.open).toBe(8)
    for (let n = 0; n < 11; n += 1) {
      engine.answer()
      await idle()
    }
    expect(await retry).toBe(11)
    expect(engine.gone.at(-1)).toBe('/volumes/v')
  })

  it('follows when it was no engine that did not know the container', async () => {
    const engine = new SlowEngine()
    const clock = { ...systemClock, sleep: () => Promise.resolve() }
    const removal = new Removals(engine, clock, log).remove('c')
    await idle()
    engine.answer(new EngineError(404, 'page not found', false))
    await idle()
    expect(engine.open).toBe(1)
    engine.answer()
    expect(await removal).toBe(true)
  })
})
