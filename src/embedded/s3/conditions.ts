import type { IncomingHttpHeaders } from 'node:http'
import { s3Errors } from './errors.ts'
import type { Condition, StoredObject } from './objects.ts'

/** Whether a read may go on, by `if-match` and its like; `prefix` stands before their names. Throws S3Error. */
export function checkReadConditions(headers: IncomingHttpHeaders, object: StoredObject, prefix = ''): void {
  const header = (name: string): string | undefined => textOf(headers[prefix + name])
  const modified = wholeSeconds(object.modified)
  const [match, noneMatch] = [header('if-match'), header('if-none-match')]
  const [since, unsince] = [dateOf(header('if-modified-since')), dateOf(header('if-unmodified-since'))]
  if (match === undefined ? unsince !== undefined && modified > unsince : !matches(match, object)) {
    throw s3Errors.preconditionFailed(match === undefined ? 'If-Unmodified-Since' : 'If-Match')
  }
  if (noneMatch === undefined ? since === undefined || modified > since : !matches(noneMatch, object)) return
  if (prefix !== '') throw s3Errors.preconditionFailed(`${prefix}if-none-match`)
  throw s3Errors.notModified({ etag: `"${object.etag}"`, 'last-modified': dateText(object) })
}

/** Whether a new object may take the place of an old one. */
export function writeCondition(headers: IncomingHttpHeaders): Condition {
  const [match, noneMatch] = [headers['if-match'], headers['if-none-match']]
  return (old) => {
    if (match !== undefined && (old === undefined || !matches(match, old))) {
      throw s3Errors.preconditionFailed('If-Match')
    }
    if (noneMatch !== undefined && old !== undefined && matches(noneMatch, old)) {
      throw s3Errors.preconditionFailed('If-None-Match')
    }
  }
}

/** Whether a part that is asked for would be of another content than the parts before. */
export function isStale(headers: IncomingHttpHeaders, object: StoredObject): boolean {
  const wanted = textOf(headers['if-range'])
  return wanted !== undefined && wanted !== `"${object.etag}"` && wanted !== dateText(object)
}

/** As `Last-Modified` tells it. */
export function dateText(object: StoredObject): string {
  return new Date(object.modified).toUTCString()
}

function matches(list: string, { etag }: StoredObject): boolean {
  return list.split(',').some((one) => ['*', `"${etag}"`, `W/"${etag}"`, etag].includes(one.trim()))
}

/** Dates in headers have no smaller unit. */
function wholeSeconds(date: string): number {
  return Math.floor(Date.parse(date) / 1000) * 1000
}

/** A date that is none is ignored, as HTTP wants it. */
function dateOf(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? '')
  return Number.isNaN(time) ? undefined : time
}

function textOf(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value
}
