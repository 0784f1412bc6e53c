import type { Engine } from './engine.ts'

/** What is asked of each engine once. */
export interface OncePerEngine<T> {
  /** The answer; throws what the asking throws, and then the next one asks again. */
  (engine: Engine): Promise<T>
  /** The answer is not true any more. */
  forget(engine: Engine): void
}

export function oncePerEngine<T>(ask: (engine: Engine) => Promise<T>): OncePerEngine<T> {
  const known = new WeakMap<Engine, Promise<T>>()

  async function answer(engine: Engine): Promise<T> {
    const asked = known.get(engine) ?? ask(engine)
    known.set(engine, asked)
    try {
      return await asked
    } catch (error) {
      if (known.get(engine) === asked) known.delete(engine)
      throw error
    }
  }

  return Object.assign(answer, {
    forget: (engine: Engine) => {
      known.delete(engine)
    },
  })
}
