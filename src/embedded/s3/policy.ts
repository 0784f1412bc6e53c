import type { Credentials } from '../guard.ts'
import { parseJsonObject } from '../json-object.ts'
import { s3Errors } from './errors.ts'
import { checkPolicySignature } from './signature.ts'

/** How long the file of a form may be. */
export interface Bounds {
  least: number
  most: number
}

/** Fields of which a policy need not speak. */
const FREE = /^(?:policy|x-amz-signature|signature|awsaccesskeyid|file|x-ignore-.*)$/

/**
 * Checks what a form carries in place of a signed request: a policy that whoever has the key signed, which must allow
 * all other `fields` and the `bucket`. Throws S3Error.
 */
export function checkPolicy(
  fields: ReadonlyMap<string, string>,
  bucket: string,
  credentials: Credentials,
): Bounds {
  const encoded = fields.get('policy')
  if (encoded === undefined) throw s3Errors.denied('Access Denied')
  checkPolicySignature(fields, encoded, credentials)
  const policy = parseJsonObject(Buffer.from(encoded, 'base64').toString())
  if (policy === undefined) throw s3Errors.invalidPolicy('Invalid Policy: Invalid JSON.')
  const { expiration, conditions } = policy
  const until = typeof expiration === 'string' ? Date.parse(expiration) : NaN
  if (Number.isNaN(until)) throw s3Errors.invalidPolicy('Invalid Policy: Invalid expiration.')
  if (!Array.isArray(conditions)) throw s3Errors.invalidPolicy('Invalid Policy: conditions must be a list.')
  if (Date.now() >= until) throw s3Errors.denied('Invalid according to Policy: Policy expired.')
  const given = new Map([...fields, ['bucket', bucket]])
  const spokenOf = new Set<string>()
  let bounds: Bounds = { least: 0, most: Infinity }
  for (const condition of conditions.flatMap(partsOf)) {
    const [operator, subject, operand] = condition
    if (operator === 'content-length-range') {
      bounds = { least: numberOf(subject), most: numberOf(operand) }
      continue
    }
    const name = String(subject).replace(/^\$/, '').toLowerCase()
    spokenOf.add(name)
    if (!holds(operator, name, given.get(name) ?? '', operand)) {
      const shown = JSON.stringify([operator, `$${name}`, operand])
      throw s3Errors.denied(`Invalid according to Policy: Policy Condition failed: ${shown}`)
    }
  }
  const extra = [...fields.keys()].filter((name) => !FREE.test(name) && !spokenOf.has(name))
  if (extra.length > 0) {
    throw s3Errors.denied(`Invalid according to Policy: Extra input fields: ${extra.join(', ')}`)
  }
  return bounds
}

type Condition = readonly [operator: string, subject: unknown, operand: unknown]

/** `{a: 'x'}` is short for `['eq', '$a', 'x']`. */
function partsOf(condition: unknown): Condition[] {
  if (Array.isArray(condition) && condition.length === 3 && typeof condition[0] === 'string') {
    return [[condition[0].toLowerCase(), condition[1], condition[2]]]
  }
  if (typeof condition === 'object' && condition !== null && !Array.isArray(condition)) {
    return Object.entries(condition).map(([name, value]) => ['eq', `$${name}`, value])
  }
  throw s3Errors.invalidPolicy(`Invalid Policy: Invalid condition: ${JSON.stringify(condition)}`)
}

function holds(operator: string, name: string, value: string, operand: unknown): boolean {
  if (typeof operand !== 'string')
    throw s3Errors.invalidPolicy(`Invalid Policy: ${name} is compared with no text.`)
  if (operator === 'eq') return value === operand
  if (operator !== 'starts-with')
    throw s3Errors.invalidPolicy(`Invalid Policy: Unknown operator ${operator}.`)
  // As at S3, these may be lists.
  const values = name === 'content-type' ? value.split(',').map((one) => one.trim()) : [value]
  return values.every((one) => one.startsWith(operand))
}

function numberOf(value: unknown): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number
  throw s3Errors.invalidPolicy('Invalid Policy: content-length-range takes two numbers of bytes.')
}
