import type { TrialKindName } from '../../kinds/index.ts'

/** What a config file is written from; keys and values as they will stand in it. */
export interface Answers {
  kinds: readonly TrialKindName[]
  /** This machine's own queues and table. */
  local: boolean
  /** By the names of the config's keys; what is left out is not written. */
  settings: Partial<Record<SettingKey, string>>
  /** Images that stand in the config; undefined = the matches are OptHub's. */
  match: { id: string; problem?: string; indicator?: string } | undefined
}

export type SettingKey =
  | 'evaluator_queue_url'
  | 'scorer_queue_url'
  | 'table_name'
  | 'region_name'
  | 'endpoint_url'
  | 'access_key_id'
  | 'secret_access_key'
