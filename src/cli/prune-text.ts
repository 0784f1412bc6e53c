import type { Leftover } from '../executors/docker/leftovers.ts'
import { renderTable } from './table.ts'
import { plainText, sizeText } from './text.ts'

/** What became of a leftover: true = it is gone, else why not. */
export interface PruneOutcome {
  leftover: Leftover
  outcome: true | string
}

/** What would go, as a table. */
export function describeLeftovers(leftovers: readonly Leftover[]): string {
  const columns = [
    { header: 'what' },
    { header: 'name', maxWidth: 60 },
    { header: 'size', align: 'right' as const },
    { header: 'detail', maxWidth: 60 },
  ]
  const rows = leftovers.map(({ what, name, sizeBytes, detail }) => [
    what,
    name,
    sizeBytes === 0 ? '-' : sizeText(sizeBytes),
    detail,
  ])
  return renderTable(columns, rows)
}

/** One line of what went, and one for each thing that did not. */
export function describeOutcomes(outcomes: readonly PruneOutcome[]): string {
  if (outcomes.length === 0) return 'Nothing to remove.'
  const gone = outcomes.filter(({ outcome }) => outcome === true)
  const bytes = bytesOf(gone)
  const failed = outcomes.flatMap(({ leftover: { what, name }, outcome }) =>
    outcome === true ? [] : [`Not removed: ${what} ${plainText(name)} (${plainText(outcome)})`],
  )
  return [`Removed ${gone.length}${bytes > 0 ? `, ${sizeText(bytes)}` : ''}.`, ...failed].join('\n')
}

/** The same for programs. */
export function outcomeJson(outcomes: readonly PruneOutcome[]): string {
  const items = outcomes.map(({ leftover: { what, id, name, detail, sizeBytes }, outcome }) => ({
    what,
    id,
    name,
    detail,
    size_bytes: sizeBytes,
    removed: outcome === true,
    ...(outcome === true ? {} : { reason: outcome }),
  }))
  return JSON.stringify({ items, freed_bytes: bytesOf(outcomes.filter(({ outcome }) => outcome === true)) })
}

function bytesOf(outcomes: readonly PruneOutcome[]): number {
  return outcomes.reduce((sum, { leftover }) => sum + leftover.sizeBytes, 0)
}
