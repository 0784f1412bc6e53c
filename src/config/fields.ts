import { z } from 'zod'
import { parseBoolean, parseBytes, parseNumber, parseSeconds } from './quantities.ts'

// A setting reaches the schema as the text that stands in the file, in a variable or behind a flag (a list or map of
// such texts); here is what the text means. So `0.10` stays `0.10` where text is wanted, and `True` is a boolean
// where one is wanted, whoever wrote it.

interface Bounds {
  min?: number
  /** Larger than this, not equal. */
  above?: number
  max?: number
}

/** A whole number; YAML 1.1 spellings (`1_000`, `0x10`, `1:30`) too. */
export function wholeNumber(bounds: Bounds, expected = `a whole number${range(bounds)}`) {
  return z.preprocess(fromText(parseNumber), bounded(z.int(explain(expected)), bounds))
}

/** A number, fractions allowed. */
export function anyNumber(bounds: Bounds) {
  return z.preprocess(fromText(parseNumber), bounded(z.number(explain(`a number${range(bounds)}`)), bounds))
}

/** Seconds; `90`, `1.5`, `90s`, `10m`, `12h` and `500ms` are read. */
export function seconds(bounds: Bounds) {
  const expected = `seconds${range(bounds)}, such as 90 or 10m`
  return z
    .preprocess(fromText(parseSeconds), bounded(z.number(explain(expected)), bounds))
    .meta({ also: alsoText(SECONDS_TEXT) })
}

/** Bytes; `1048576`, `1 MiB`, `512m` and `1g` are read, a k being 1024 as in Docker's own flags. */
export function bytes(bounds: Bounds) {
  const expected = `a size${range(bounds)} in bytes, such as 1048576, 512m or 16 MiB`
  return z
    .preprocess(fromText(parseBytes), bounded(z.int(explain(expected)), bounds))
    .meta({ also: alsoText(BYTES_TEXT) })
}

/** True or false in every spelling of YAML 1.1. */
export function flag() {
  return z
    .preprocess(fromText(parseBoolean), z.boolean(explain('true or false')))
    .meta({ also: alsoText(BOOLEAN_TEXT) })
}

/** Text that is not empty and holds no control characters. */
export function text(expected = 'text') {
  return z
    .string(explain(expected))
    .min(1, explain(`${expected}, not empty`))
    .regex(/^\P{Cc}*$/u, explain(`${expected} without control characters`))
}

/** One of `choices`, in any case of letters; `aliases` are read as the choice they stand for. */
export function choice<const T extends readonly [string, ...string[]]>(
  choices: T,
  aliases: Record<string, T[number]> = {},
) {
  const expected = `one of ${choices.join(', ')}`
  return z
    .preprocess(
      (value) => {
        if (typeof value !== 'string') return value
        const wanted = value.toLowerCase()
        return choices.find((known) => known.toLowerCase() === wanted) ?? aliases[wanted] ?? value
      },
      z.enum(choices, explain(expected)),
    )
    .meta({ also: alsoText(`^(${choices.join('|').toLowerCase()})$`) })
}

/** An address of the web. */
export function httpUrl(expected = 'a URL that begins with http:// or https://') {
  return z
    .string(explain(expected))
    .refine((value) => /^https?:\/\/[^\s/]/i.test(value) && URL.canParse(value), explain(expected))
}

/** Where a queue is. */
export function queueUrl() {
  return httpUrl(
    'the URL of a queue, such as https://sqs.ap-northeast-1.amazonaws.com/123456789012/name',
  ).optional()
}

/** What an issue says it wanted; the loader adds what was found. */
export function explain(expected: string): { error: string } {
  return { error: `must be ${expected}` }
}

const SECONDS_TEXT = '^\\d+(\\.\\d+)? *(ms|s|m|h)$'
const BYTES_TEXT = '^\\d+(\\.\\d+)? *([kKmMgGtT]([iI]?[bB])?|[bB])$'
const BOOLEAN_TEXT = '^([Yy]es|YES|[Nn]o|NO|[Tt]rue|TRUE|[Ff]alse|FALSE|[Oo]n|ON|[Oo]ff|OFF|[Yy]|[Nn])$'

/** A second form for the JSON Schema; the loader reads it anyway. */
function alsoText(pattern: string): { type: 'string'; pattern: string } {
  return { type: 'string', pattern }
}

/** Applies a reader to text; what it can't read, and what is no text, is left for the schema to refuse. */
function fromText(read: (value: string) => unknown): (value: unknown) => unknown {
  return (value) => (typeof value === 'string' ? (read(value.trim()) ?? value) : value)
}

function bounded<T extends z.ZodNumber>(schema: T, { min, above, max }: Bounds): T {
  const found = schema.def.error?.({} as never)
  const error = { error: typeof found === 'string' ? found : 'is out of range' }
  let result = schema
  if (min !== undefined) result = result.min(min, error)
  if (above !== undefined) result = result.gt(above, error)
  if (max !== undefined) result = result.max(max, error)
  return result
}

function range({ min, above, max }: Bounds): string {
  if (above !== undefined) return max === undefined ? ` above ${above}` : ` above ${above}, at most ${max}`
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`
  if (min !== undefined) return ` of at least ${min}`
  return max === undefined ? '' : ` of at most ${max}`
}
