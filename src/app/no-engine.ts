import type { Config } from '../config/schema.ts'
import type { Connected } from './executor.ts'

/** Whether all calls of models are answered by a server that runs already. */
export function isAnsweredElsewhere({ inference: { url, triton } }: Config): boolean {
  return url !== undefined || triton.host !== undefined
}

/** In place of an engine where no container is ever started: all is well with it. */
export function withoutEngine(): Connected {
  const never = (): Promise<never> => Promise.reject(new TypeError('there is no engine here'))
  return {
    executor: {
      name: 'none',
      probe: () => Promise.resolve(),
      pull: never,
      start: never,
      capacity: never,
      reap: () => Promise.resolve(0),
      close: () => Promise.resolve(),
    },
    docker: {
      assertRoom: () => Promise.resolve(),
      openWorkdir: never,
      assertWalls: never,
      assertInternet: never,
    },
    onGpusWanted: () => undefined,
  }
}
