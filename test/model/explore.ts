import { initial, nameOf, successors, type Bounds, type Mutation, type State } from './lease-model.ts'

export interface Exploration {
  states: number
  steps: number
  /** States in which something forbidden has happened, at most a few. */
  violations: State[]
  /** States from which no path leads to a result. */
  lost: State[]
  /**
   * States from which no path leads to an end: a result, no message, and nobody at work. A record may be left over,
   * by somebody who made it in the moment in which another finished; its time to live removes it.
   */
  stuck: State[]
}

const SHOWN = 3

/** Visits every state that can be reached, then asks from which of them the good end can still be reached. */
export function explore(bounds: Bounds, mutation: Mutation = {}): Exploration {
  const states: State[] = [initial(bounds)]
  const numbers = new Map<string, number>([[nameOf(states[0] as State), 0]])
  const from: number[] = []
  const to: number[] = []
  for (let number = 0; number < states.length; number += 1) {
    for (const next of successors(states[number] as State, bounds, mutation)) {
      const name = nameOf(next)
      let known = numbers.get(name)
      if (known === undefined) {
        known = states.length
        numbers.set(name, known)
        states.push(next)
      }
      from.push(number)
      to.push(known)
    }
  }
  const backwards = invert(states.length, from, to)
  const reaches = (isGood: (state: State) => boolean): Uint8Array => spread(states, backwards, isGood)
  const canHaveResult = reaches(({ results }) => results > 0)
  const canEnd = reaches(
    ({ results, messages, runners }) =>
      results > 0 && messages.length === 0 && runners.every((runner) => runner.at === 'idle'),
  )
  return {
    states: states.length,
    steps: from.length,
    violations: states.filter(({ results, isUsurped }) => results > 1 || isUsurped).slice(0, SHOWN),
    lost: states.filter((_state, number) => canHaveResult[number] === 0).slice(0, SHOWN),
    stuck: states.filter((_state, number) => canEnd[number] === 0).slice(0, SHOWN),
  }
}

/** For each state the places of the steps that lead to it. */
function invert(count: number, from: readonly number[], to: readonly number[]) {
  const starts = new Uint32Array(count + 1)
  for (const target of to) starts[target + 1] = (starts[target + 1] ?? 0) + 1
  for (let index = 0; index < count; index += 1)
    starts[index + 1] = (starts[index + 1] ?? 0) + (starts[index] ?? 0)
  const filled = starts.slice()
  const sources = new Uint32Array(to.length)
  for (const [step, target] of to.entries()) {
    const place = filled[target] ?? 0
    sources[place] = from[step] ?? 0
    filled[target] = place + 1
  }
  return { starts, sources }
}

/** Marks the good states and all from which one of them can be reached. */
function spread(
  states: readonly State[],
  { starts, sources }: ReturnType<typeof invert>,
  isGood: (state: State) => boolean,
): Uint8Array {
  const marked = new Uint8Array(states.length)
  const queue: number[] = []
  for (const [number, state] of states.entries()) {
    if (!isGood(state)) continue
    marked[number] = 1
    queue.push(number)
  }
  for (let target = queue.pop(); target !== undefined; target = queue.pop()) {
    for (let place = starts[target] ?? 0; place < (starts[target + 1] ?? 0); place += 1) {
      const source = sources[place] ?? 0
      if (marked[source] === 1) continue
      marked[source] = 1
      queue.push(source)
    }
  }
  return marked
}
