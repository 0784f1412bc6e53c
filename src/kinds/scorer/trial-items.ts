import { partitionOf, type Series, type Trial } from '../../records/keys.ts'
import type { Item, Store } from '../../stores/store.ts'

/** An item and the number of the trial it belongs to. */
export interface Numbered {
  number: number
  /** The digits of its sort key. */
  trialNo: string
  item: Item
}

/** Trials of one participant: numbers, both included. */
export interface TrialRange {
  from: number
  to: number
  /** A trial number of the match, for its width. */
  like: string
}

/**
 * Items of one series whose sort key is `prefix` and a trial number of the range, ascending by number. Other keys in
 * between are passed over.
 */
export async function* trialItems(
  store: Store,
  series: Series,
  prefix: '' | 'Success#' | 'Failed#',
  participant: Omit<Trial, 'trialNo'>,
  range: TrialRange,
  attributes: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Numbered, void, undefined> {
  const id = partitionOf(series, participant)
  let last = -1
  for (const { from, to, width } of keyRanges(range)) {
    const keys = { from: prefix + from, to: prefix + to, attributes: ['Trial', ...attributes] }
    for await (const item of store.query(id, keys, signal)) {
      const key = item['Trial']
      if (typeof key !== 'string' || !key.startsWith(prefix)) continue
      const trialNo = key.slice(prefix.length)
      const number = Number(trialNo)
      // Keys of other widths stand between those of this one; a number counts once.
      if (trialNo.length !== width || !/^\d+$/.test(trialNo) || number <= last) continue
      last = number
      yield { number, trialNo, item }
    }
  }
}

/**
 * The sort keys of a range. Trial numbers have one width within a match, so that is one range of keys; a number that
 * fills its width may have grown out of a smaller one (99999, 100000), where the earlier trials are looked for too.
 */
export function keyRanges({ from, to, like }: TrialRange): { from: string; to: string; width: number }[] {
  if (from > to) return []
  const widths = like.startsWith('0') ? [like.length] : Array.from(like, (_, index) => index + 1)
  return widths
    .map((width) => ({ width, largest: Math.min(to, 10 ** width - 1) }))
    .filter(({ largest }) => largest >= from)
    .map(({ width, largest }) => ({ from: pad(from, width), to: pad(largest, width), width }))
}

/** What stands in two series for one trial. */
export interface Pair {
  number: number
  left: Numbered | undefined
  right: Numbered | undefined
}

/** Two ascending series side by side, each read ahead by one. */
export async function* pairUp(
  left: AsyncIterator<Numbered, void>,
  right: AsyncIterator<Numbered, void>,
): AsyncGenerator<Pair, void, undefined> {
  try {
    let [l, r] = await Promise.all([left.next(), right.next()])
    while (l.done !== true || r.done !== true) {
      const number = Math.min(
        l.done === true ? Infinity : l.value.number,
        r.done === true ? Infinity : r.value.number,
      )
      const inLeft = l.done !== true && l.value.number === number ? l.value : undefined
      const inRight = r.done !== true && r.value.number === number ? r.value : undefined
      yield { number, left: inLeft, right: inRight }
      ;[l, r] = await Promise.all([inLeft ? left.next() : l, inRight ? right.next() : r])
    }
  } finally {
    await Promise.allSettled([left.return?.(), right.return?.()])
  }
}

function pad(number: number, width: number): string {
  return String(number).padStart(width, '0')
}
