import type { Json } from '../core/json.ts'
import { truncateMiddle } from '../core/text.ts'
import type { Item } from '../stores/store.ts'
import { flagKey, resultKey, type Status, type Trial } from './keys.ts'

/** The series that hold results. */
export type ResultSeries = 'Evaluations' | 'Scores'

/** When a job did what. */
export interface Span {
  /** Just before the container got its input; `finishedAt` when it never did. */
  startedAt: Date
  /** Just after the output was parsed, or the job failed. */
  finishedAt: Date
  /** At the write. */
  createdAt: Date
}

/** What a failed trial says to whom; cut to 16384 code points when it is stored. */
export interface FailureTexts {
  /** For the participant. */
  errorMessage: string
  /** For the administrator. */
  adminErrorMessage: string
}

/** What every stored result tells, whoever wrote it; what an item lacks is empty or undefined. */
export interface ResultHead {
  trialNo: string
  status: Status
  startedAt: string | undefined
  finishedAt: string | undefined
  createdAt: string | undefined
  /** Empty for a success. */
  errorMessage: string
  /** Empty for a success. */
  adminErrorMessage: string
}

const RESOURCE_TYPE = { Evaluations: 'Evaluation', Scores: 'Score' } as const

/** UTC, ISO 8601 with milliseconds and `Z`. */
export function formatTime(date: Date): string {
  return date.toISOString()
}

/** The item of a trial that went well; `values` are the attributes of its sort. */
export function successItem(
  series: ResultSeries,
  trial: Trial,
  span: Span,
  values: Readonly<Record<string, Json>>,
): Item {
  return { ...head(series, 'Success', trial, span), ...values, IgnoreStream: false }
}

/** The item of a trial that failed by its own fault. */
export function failedItem(series: ResultSeries, trial: Trial, span: Span, texts: FailureTexts): Item {
  return {
    ...head(series, 'Failed', trial, span),
    ErrorMessage: storable(texts.errorMessage),
    AdminErrorMessage: storable(texts.adminErrorMessage),
    IgnoreStream: false,
  }
}

/** The item that is written together with a result, and only if it is not there yet. */
export function flagItem(series: ResultSeries, trial: Trial): Item {
  return { ...flagKey(series, trial), IgnoreStream: true }
}

/** Reads what all results have; undefined when the item is no result (a flag, for one). */
export function readResultHead(item: Item): ResultHead | undefined {
  const match = /^(Success|Failed)#(.*)$/s.exec(textOf(item['Trial']) ?? '')
  if (match === null) return undefined
  return {
    status: match[1] === 'Success' ? 'Success' : 'Failed',
    trialNo: textOf(item['TrialNo']) ?? match[2] ?? '',
    startedAt: textOf(item['StartedAt']),
    finishedAt: textOf(item['FinishedAt']),
    createdAt: textOf(item['CreatedAt']),
    errorMessage: textOf(item['ErrorMessage']) ?? '',
    adminErrorMessage: textOf(item['AdminErrorMessage']) ?? '',
  }
}

function head(series: ResultSeries, status: Status, trial: Trial, span: Span): Record<string, Json> {
  return {
    ...resultKey(series, status, trial),
    TrialNo: trial.trialNo,
    ResourceType: RESOURCE_TYPE[series],
    MatchID: `Match#${trial.matchId}`,
    CreatedAt: formatTime(span.createdAt),
    ParticipantID: trial.participantId,
    StartedAt: formatTime(span.startedAt),
    FinishedAt: formatTime(span.finishedAt),
    Status: status,
  }
}

/** A table's texts are UTF-8, which has no halves of surrogate pairs. */
function storable(text: string): string {
  return truncateMiddle(text.replace(/\p{Surrogate}/gu, '\ufffd'))
}

function textOf(value: Json | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}
