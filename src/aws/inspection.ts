import type { OperatorError } from '../core/errors.ts'
import { classifyAwsError } from './errors.ts'

/** What a question to a service of AWS taught, for somebody who looks for mistakes. */
export type Inspection<T> = Measured & ({ found: T } | { problem: OperatorError; blames: Blame })

interface Measured {
  /** The service's clock less ours, in milliseconds, good to about a second; undefined when it did not say. */
  clockSkewMs: number | undefined
}

/** What has to be mended: the keys (or the clock that they sign with), or what was asked for. */
export type Blame = 'credentials' | 'signature' | 'service'

/** What an error of the SDK puts the blame on. */
export function blameOf(error: unknown): Blame {
  const kind = classifyAwsError(error)
  return kind === 'credentials' || kind === 'signature' ? kind : 'service'
}

/** Reads the service's clock off its answers, errors included. */
export interface ClockMeter {
  /** For a client's middleware stack, at the step `deserialize`, so that it sees the answers as they come. */
  middleware<A, R extends { response: unknown }>(next: (args: A) => Promise<R>): (args: A) => Promise<R>
  skewMs(): number | undefined
}

export function createClockMeter(): ClockMeter {
  let skewMs: number | undefined
  return {
    middleware: (next) => async (args) => {
      const askedAt = Date.now()
      const result = await next(args)
      const theirs = Date.parse(dateHeader(result.response))
      // The header has no fractions, so half a second is added; the answer was made about half-way.
      if (!Number.isNaN(theirs)) skewMs = theirs + 500 - (askedAt + Date.now()) / 2
      return result
    },
    skewMs: () => skewMs,
  }
}

function dateHeader(response: unknown): string {
  if (typeof response !== 'object' || response === null || !('headers' in response)) return ''
  const headers = response.headers as Record<string, unknown>
  const name = Object.keys(headers).find((each) => each.toLowerCase() === 'date')
  const value = name === undefined ? '' : headers[name]
  return typeof value === 'string' ? value : ''
}
