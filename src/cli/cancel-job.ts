import { requestCancel } from '../kinds/cancel.ts'
import { FINAL_STATUSES } from '../records/code-exec.ts'
import { FINAL_INFERENCE_STATUSES } from '../records/inference.ts'
import type { Item, Store } from '../stores/store.ts'
import { CODE_JOBS, INFERENCE_JOBS, type JobSort } from './queued-job.ts'

const SORTS: readonly { sort: JobSort; finalStatuses: readonly string[] }[] = [
  { sort: CODE_JOBS, finalStatuses: FINAL_STATUSES },
  { sort: INFERENCE_JOBS, finalStatuses: FINAL_INFERENCE_STATUSES },
]

/** What came of a wish to cancel. */
export interface Canceled {
  /** False = the job has ended already. */
  canceled: boolean
  /** One line for a person. */
  said: string
}

/**
 * Cancels the job of this id, of whatever kind it is: where two kinds have one of that name, those that have not ended. Of
 * one that nobody knows it is left in the table that it is not to be run.
 */
export async function cancelJob(store: Store, id: string, signal: AbortSignal): Promise<Canceled> {
  const found = await Promise.all(
    SORTS.map(async ({ sort, finalStatuses }) => {
      const item = await store.get(sort.key(id), signal)
      return { sort, finalStatuses, item }
    }),
  )
  const known = found.filter(({ item }) => item !== undefined && isJob(item))
  const chosen = known.length === 0 ? found : known
  const outcomes = await Promise.all(
    chosen.map(async ({ sort, finalStatuses }) => ({
      kind: sort.kind,
      isOver: (await requestCancel(store, sort.key(id), finalStatuses)) === 'exists',
    })),
  )
  const ended = outcomes.filter(({ isOver }) => !isOver)
  if (ended.length === 0) return { canceled: false, said: `${id} has ended already` }
  if (known.length === 0)
    return { canceled: true, said: `${id} is in no item yet: should it come, it is not run` }
  const both = known.length > 1 ? ` (${ended.map(({ kind }) => kind).join(' and ')})` : ''
  return { canceled: true, said: `${id} is being canceled${both}` }
}

/** Not only the wish that a job of this name be canceled. */
function isJob(item: Item): boolean {
  return typeof item['Status'] === 'string'
}
