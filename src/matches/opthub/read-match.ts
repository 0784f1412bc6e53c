import type { ImageRecipe, Match } from '../matches.ts'
import { asRecord, asText } from '../../core/unknown-json.ts'
import { UnreachableError } from './http.ts'

/** A match's images, each for one kind of jobs. */
export type Role = 'problem' | 'indicator'

/** The account may not see what is needed to run a match, or the match is not as it should be: an administrator can act. */
export class NoAccessError extends Error {
  override readonly name = 'NoAccessError'
}

const NOT_THE_ADMINISTRATOR =
  "Cannot access the Docker image. Please check your permissions. If you're not authenticated using the competition administrator's account, please do so."

/**
 * The match in an answer to getMatch, with the recipe of one role. NoAccessError when only an administrator can help;
 * UnreachableError when the answer makes no sense.
 */
export function readMatch(id: string, role: Role, body: unknown): Match {
  const { data } = asRecord(body)
  const found = asRecord(data)['getMatch']
  if (found === undefined || found === null) {
    explainErrors(errorsOf(body))
    if (found === undefined) throw garbage('no match')
    throw new NoAccessError(`the match ${id} is not known to OptHub, or not to this account`)
  }
  const match = asRecord(found)
  const echoed = asText(match['id'])?.replace(/^Match#/, '')
  if (echoed !== undefined && echoed.toLowerCase() !== id.toLowerCase()) throw garbage('another match')
  // What is wrong with the other image is not our affair.
  explainErrors(errorsOf(body, role))
  return { id, direction: 'minimize', [role]: readRecipe(match, role) }
}

/** One of the errors that a GraphQL answer may hold. */
type ApiError = Readonly<Record<string, unknown>>

/** The errors of an answer; with a role, only those that it can't do without. */
export function errorsOf(body: unknown, role?: Role): readonly ApiError[] {
  const { errors } = asRecord(body)
  const all = Array.isArray(errors) ? errors.map(asRecord) : []
  return role === undefined ? all : all.filter((error) => concerns(error, role))
}

/** What an error says, as much as is fit for a log: some servers repeat the token that they refuse. */
export function messageIn(error: ApiError | undefined): string | undefined {
  return asText(error?.['message'])?.replace(TOKEN, '***').slice(0, 300)
}

/** A JSON web token, or what is left of it. */
const TOKEN = /\beyJ[\w-]+(?:\.[\w-]+)*/g

function readRecipe(match: Readonly<Record<string, unknown>>, role: Role): ImageRecipe {
  const image = asRecord(match[role])['dockerImage']
  if (image === null || match[role] === null) throw new NoAccessError(NOT_THE_ADMINISTRATOR)
  if (typeof image !== 'string') throw garbage(`no ${role} image`)
  if (image.trim() === '') throw new NoAccessError(`the ${role} of the match has no Docker image`)
  const open = readEnvironment(match[`${role}PublicEnvironments`] ?? [], role) ?? []
  const secret = readEnvironment(match[`${role}PrivateEnvironments`], role)
  if (secret === null || secret.some(([, value]) => value === null))
    throw new NoAccessError(NOT_THE_ADMINISTRATOR)
  // A public variable without a value is none.
  const given = [...open, ...secret].filter((entry): entry is [string, string] => entry[1] !== null)
  return {
    image: image.trim(),
    environment: Object.fromEntries(given),
    secrets: secret.flatMap(([, value]) => value ?? []),
  }
}

/** Null when the list itself is null. */
function readEnvironment(list: unknown, role: Role): [key: string, value: string | null][] | null {
  if (list === null) return null
  if (!Array.isArray(list)) throw garbage(`no list of the ${role}'s environment`)
  return list.map((entry: unknown) => {
    const { key, value } = asRecord(entry)
    if (typeof key !== 'string') throw garbage(`a variable of the ${role} without a name`)
    if (value !== null && typeof value !== 'string')
      throw garbage(`a variable of the ${role} that is no text`)
    if (!/^[^=\0]+$/.test(key) || value?.includes('\0') === true) {
      throw new NoAccessError(`the environment of the ${role} has a variable that no program can be given`)
    }
    return [key, value]
  })
}

/** Throws what the API's own errors mean, if there are any. */
function explainErrors(errors: readonly ApiError[]): void {
  const [first] = errors
  if (first === undefined) return
  if (errors.some((error) => error['errorType'] === 'Unauthorized'))
    throw new NoAccessError(NOT_THE_ADMINISTRATOR)
  throw new UnreachableError(`OptHub answered with an error: ${messageIn(first) ?? 'it has no message'}`)
}

/** Whether an error is about this role, or about no role at all. */
function concerns({ path }: ApiError, role: Role): boolean {
  if (!Array.isArray(path)) return true
  const other = role === 'problem' ? 'indicator' : 'problem'
  return !path.some((step) => typeof step === 'string' && step.startsWith(other))
}

function garbage(what: string): UnreachableError {
  return new UnreachableError(`OptHub's answer makes no sense (${what})`)
}
