import { judgeMessage } from '../../src/core/lease-record.ts'

/**
 * The lease and settle protocol of docs/reliability.md as a finite machine: one job, runners, the copies of its
 * message, the result and the lease record. Time is left out: whatever may time out may do so at any moment, so
 * nothing proved here rests on a clock. Each step is one request that has its effect at once; that a runner is frozen,
 * cut off or slow is that others take steps first, and a lost answer is an effect followed by a crash.
 */
export interface State {
  messages: Message[]
  /** How many results were written; more than one is the worst of all. */
  results: number
  /** The last result came from somebody who was not entitled to write it. */
  isUsurped: boolean
  record: Record | null
  runners: Runner[]
}

interface Message {
  guard: number
  /** Who has received it last, and still believes so. */
  holder: number | null
  /** Hidden from others. */
  hidden: boolean
}

interface Record {
  token: number
  beat: number
  guard: number
}

type Runner =
  | { at: 'idle' }
  /** Has received a message, and will look at result and record. */
  | { at: 'looking'; message: Message }
  | { at: 'deleting'; message: Message }
  /** Runs the job by its message. */
  | { at: 'running'; message: Message }
  /** Runs it by the record: h2, h3, h4 of the copy `guard`, or done with them. */
  | { at: 'owning'; message: Message | null; token: number; step: 'h2' | 'h3' | 'h4' | 'done'; guard: number }
  | { at: 'standing by'; message: Message; seen: { token: number; beat: number } }

/** What is bounded, so that the machine is finite. */
export interface Bounds {
  runners: number
  messages: number
  guards: number
  tokens: number
}

/** Changes to the protocol, to show that the exploration would find what is wrong with them. */
export interface Mutation {
  /** Delete the message before the copy is known to be on the queue. */
  deletesFirst?: boolean
  /** Take "other than" for "smaller than" when a guard number is judged. */
  comparesByInequality?: boolean
  /** Write a result without looking at the record. */
  ignoresRecord?: boolean
}

export function initial(bounds: Bounds): State {
  return {
    messages: [{ guard: 0, holder: null, hidden: false }],
    results: 0,
    isUsurped: false,
    record: null,
    runners: Array.from({ length: bounds.runners }, () => ({ at: 'idle' })),
  }
}

const BEATS = 2

/** All states that one step leads to. */
export function* successors(state: State, bounds: Bounds, mutation: Mutation): Generator<State> {
  for (const [index, message] of state.messages.entries()) {
    if (message.hidden) {
      yield change(state, (next) => {
        at(next.messages, index).hidden = false
      })
    }
  }
  for (const [index, runner] of state.runners.entries()) {
    yield* steps(state, index, runner, bounds, mutation)
    if (runner.at !== 'idle') yield change(state, (next) => void (next.runners[index] = { at: 'idle' }))
  }
}

function* steps(
  state: State,
  index: number,
  runner: Runner,
  bounds: Bounds,
  mutation: Mutation,
): Generator<State> {
  const act = (effect: (next: State) => Runner): State =>
    change(state, (next) => void (next.runners[index] = effect(next)))
  switch (runner.at) {
    case 'idle':
      for (const [place, message] of state.messages.entries()) {
        if (message.hidden) continue
        yield act((next) => {
          const received = at(next.messages, place)
          received.hidden = true
          received.holder = index
          return { at: 'looking', message: received }
        })
      }
      return
    case 'looking':
      yield act((next) => look(next, mine(next, index, runner.message), mutation))
      return
    case 'standing by': {
      const { seen } = runner
      yield act((next) => look(next, mine(next, index, runner.message), mutation))
      const token = freeToken(state, bounds)
      if (token !== undefined && state.record?.token === seen.token && state.record.beat === seen.beat) {
        yield act((next) => {
          next.record = { token, beat: (seen.beat + 1) % BEATS, guard: 0 }
          return { at: 'owning', message: mine(next, index, runner.message), token, step: 'h2', guard: 1 }
        })
      }
      yield act((next) => giveBack(next, index, runner.message))
      return
    }
    case 'running': {
      yield act((next) => giveBack(next, index, runner.message))
      yield act((next) => {
        if (next.results > 0) return { at: 'deleting', message: mine(next, index, runner.message) }
        if (next.record !== null && mutation.ignoresRecord !== true) return { at: 'idle' }
        next.results += 1
        next.isUsurped = next.record !== null
        return { at: 'deleting', message: mine(next, index, runner.message) }
      })
      const token = freeToken(state, bounds)
      if (token === undefined) return
      if (state.record !== null) yield act((next) => giveBack(next, index, runner.message))
      else {
        yield act((next) => {
          next.record = { token, beat: 0, guard: 0 }
          return { at: 'owning', message: mine(next, index, runner.message), token, step: 'h2', guard: 1 }
        })
      }
      return
    }
    case 'owning':
      yield* own(state, index, runner, bounds, mutation)
      return
    case 'deleting':
      // A receipt of an earlier receive may do, or not; a failure is the crash.
      yield act((next) => {
        remove(next, mine(next, index, runner.message))
        return { at: 'idle' }
      })
  }
}

function* own(
  state: State,
  index: number,
  runner: Extract<Runner, { at: 'owning' }>,
  bounds: Bounds,
  mutation: Mutation,
): Generator<State> {
  const { token, step, guard } = runner
  const isMine = state.record?.token === token
  const act = (effect: (next: State, self: typeof runner) => Runner): State =>
    change(state, (next) => {
      const self = next.runners[index] as typeof runner
      next.runners[index] = effect(next, self)
    })
  if (isMine) {
    yield act((next, self) => {
      if (next.record !== null) next.record.beat = (next.record.beat + 1) % BEATS
      return self
    })
  }
  // The end: result, flag and record in one transaction.
  yield act((next, self) => {
    if (!isMine && mutation.ignoresRecord !== true) return { at: 'idle' }
    if (next.results === 0) {
      next.results += 1
      next.isUsurped = !isMine
    }
    if (isMine) next.record = null
    return self.message === null ? { at: 'idle' } : { at: 'deleting', message: self.message }
  })
  switch (step) {
    case 'h2':
      if (mutation.deletesFirst === true && runner.message !== null) {
        yield act((next, self) => {
          remove(next, self.message)
          return { ...self, message: null }
        })
        return
      }
      if (state.messages.length >= bounds.messages) return
      yield act((next, self) => {
        next.messages.push({ guard, holder: null, hidden: false })
        return { ...self, step: 'h3' }
      })
      // Sent, but not acknowledged: it is sent again.
      yield act((next, self) => {
        next.messages.push({ guard, holder: null, hidden: false })
        return self
      })
      return
    case 'h3':
      yield act((next, self) => {
        if (!isMine) return { at: 'idle' }
        if (next.record !== null) next.record.guard = guard
        return { ...self, step: self.message === null ? 'done' : 'h4' }
      })
      return
    case 'h4':
      yield act((next, self) => {
        remove(next, self.message)
        return { ...self, message: null, step: 'done' }
      })
      yield act((_next, self) => ({ ...self, message: null, step: 'done' }))
      return
    case 'done':
      if (guard < bounds.guards) yield act((_next, self) => ({ ...self, step: 'h2', guard: guard + 1 }))
  }
}

/** What a receiver does by what it finds; the decision is the product's own. */
function look(next: State, message: Message, mutation: Mutation): Runner {
  if (next.results > 0) return { at: 'deleting', message }
  const { record } = next
  const known = record === null ? undefined : { ...record, token: String(record.token), holdSeconds: 60 }
  let finding = judgeMessage(message.guard, known)
  if (mutation.comparesByInequality === true && record !== null && message.guard !== record.guard)
    finding = 'stale'
  if (finding === 'ordinary' || record === null) return { at: 'running', message }
  if (finding === 'stale') return { at: 'deleting', message }
  return { at: 'standing by', message, seen: { token: record.token, beat: record.beat } }
}

function giveBack(next: State, index: number, message: Message): Runner {
  const held = mine(next, index, message)
  if (held.holder === index) held.hidden = false
  return { at: 'idle' }
}

function remove(next: State, message: Message | null): void {
  next.messages = next.messages.filter((one) => one !== message)
}

/** The runner's own message in a copied state; one that is gone is a stranger to all others. */
function mine(next: State, index: number, message: Message): Message {
  const runner = next.runners[index]
  return runner !== undefined && 'message' in runner && runner.message !== null ? runner.message : message
}

function freeToken({ record, runners }: State, { tokens }: Bounds): number | undefined {
  const used = new Set<number>()
  if (record !== null) used.add(record.token)
  for (const runner of runners) {
    if (runner.at === 'owning') used.add(runner.token)
    if (runner.at === 'standing by') used.add(runner.seen.token)
  }
  for (let token = 1; token <= tokens; token += 1) if (!used.has(token)) return token
  return undefined
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index]
  if (found === undefined) throw new RangeError(`no element ${index}`)
  return found
}

/** A copy in which runners point to the copied messages. */
function change(state: State, effect: (next: State) => void): State {
  const copies = new Map<Message, Message>()
  const copy = (message: Message): Message => {
    const known = copies.get(message)
    if (known !== undefined) return known
    const made = { ...message }
    copies.set(message, made)
    return made
  }
  const next: State = {
    ...state,
    messages: state.messages.map(copy),
    record: state.record === null ? null : { ...state.record },
    runners: state.runners.map((runner) =>
      'message' in runner && runner.message !== null
        ? { ...runner, message: copy(runner.message) }
        : { ...runner },
    ),
  }
  effect(next)
  return next
}

/** The same text for the same state. Numbers here are below ten, so that each is one letter. */
export function nameOf({ messages, results, isUsurped, record, runners }: State): string {
  let name = `${Math.min(results, 2)}${isUsurped ? 'u' : ''}`
  if (record !== null) name += `L${record.token}${record.beat}${record.guard}`
  for (const { guard, holder, hidden } of messages) name += `m${guard}${hidden ? 'h' : 'v'}${holder ?? '-'}`
  for (const runner of runners) {
    name += `r${runner.at.slice(0, 2)}`
    if (runner.at === 'idle') continue
    name += runner.message === null ? '-' : String(messages.indexOf(runner.message))
    if (runner.at === 'owning') name += `${runner.token}${runner.step}${runner.guard}`
    if (runner.at === 'standing by') name += `${runner.seen.token}${runner.seen.beat}`
  }
  return name
}
