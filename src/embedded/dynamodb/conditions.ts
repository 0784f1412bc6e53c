import { isJsonObject, type JsonObject } from '../json-object.ts'
import { bytesOf, isEqual, open, order, valueAt, type Path } from './values.ts'

/** A condition or filter as dynalite's parser delivers it. */
export interface Condition {
  /** `and`, `or`, `not`, `function`, or an operator. */
  type: string
  /** Of a function. */
  name?: string
  /** Conditions below `and`, `or` and `not`, otherwise operands: a path, the function size, or an attribute value. */
  args: unknown[]
}

/** Whether a condition holds for an item. */
export function holds({ type, name, args }: Condition, item: JsonObject): boolean {
  if (type === 'and') return (args as Condition[]).every((part) => holds(part, item))
  if (type === 'or') return (args as Condition[]).some((part) => holds(part, item))
  if (type === 'not') return !(args as Condition[]).every((part) => holds(part, item))
  const [value, ...others] = args.map((operand) => resolve(operand, item))
  return compare(type === 'function' ? (name ?? '') : type, value, others)
}

/** Whether an item meets what the older parameters `Expected`, `QueryFilter` and `ScanFilter` ask for. */
export function meets(conditions: JsonObject, combination: unknown, item: JsonObject): boolean {
  const entries = Object.entries(conditions as Record<string, JsonObject>)
  const isMet = ([name, condition]: [string, JsonObject]): boolean => {
    const { Exists: exists, ComparisonOperator: operator, AttributeValueList: list, Value: value } = condition
    const comparison = exists === false ? 'NULL' : typeof operator === 'string' ? operator : 'EQ'
    return compare(comparison, valueAt([name], item), list ?? value)
  }
  return combination === 'OR' && entries.length > 0 ? entries.some(isMet) : entries.every(isMet)
}

/** Compares a value with one or several others, by an operator or function of expressions or its older name. */
export function compare(operator: string, value: unknown, operands: unknown): boolean {
  const others: unknown[] = Array.isArray(operands) ? operands : [operands]
  const [other, upper] = others
  switch (operator) {
    case '=':
    case 'EQ':
      return isEqual(value, other)
    case '<>':
    case 'NE':
      return !isEqual(value, other)
    case '<':
    case 'LT':
      return order(value, other) < 0
    case '<=':
    case 'LE':
      return order(value, other) <= 0
    case '>':
    case 'GT':
      return order(value, other) > 0
    case '>=':
    case 'GE':
      return order(value, other) >= 0
    case 'between':
    case 'BETWEEN':
      return compare('>=', value, other) && compare('<=', value, upper)
    case 'in':
    case 'IN':
      return others.some((one) => isEqual(value, one))
    case 'attribute_exists':
    case 'NOT_NULL':
      return value !== undefined
    case 'attribute_not_exists':
    case 'NULL':
      return value === undefined
    case 'attribute_type':
      return value !== undefined && open(value).type === open(other).content
    case 'begins_with':
    case 'BEGINS_WITH':
      return isText(value, other) && bytesOf(value).indexOf(bytesOf(other)) === 0
    case 'contains':
    case 'CONTAINS':
      return contains(value, other)
    case 'NOT_CONTAINS':
      return value !== undefined && !contains(value, other)
    default:
      throw new Error(`the comparison ${operator} is not known`)
  }
}

function contains(value: unknown, other: unknown): boolean {
  if (isText(value, other)) return bytesOf(value).includes(bytesOf(other))
  const { type, content } = open(value)
  if (!Array.isArray(content)) return false
  if (type === 'L') return content.some((entry) => isEqual(entry, other))
  const { type: otherType, content: member } = open(other)
  return otherType !== undefined && type === `${otherType}S` && content.includes(member)
}

/** Whether both are texts, or both are binary. */
function isText(a: unknown, b: unknown): boolean {
  const { type } = open(a)
  return (type === 'S' || type === 'B') && type === open(b).type
}

function resolve(operand: unknown, item: JsonObject): unknown {
  if (Array.isArray(operand)) return valueAt(operand as Path, item)
  if (!isJsonObject(operand) || operand['type'] !== 'function') return operand
  const { args } = operand as unknown as Condition
  const size = sizeOf(resolve(args[0], item))
  return size === undefined ? undefined : { N: String(size) }
}

function sizeOf(value: unknown): number | undefined {
  const { type, content } = open(value)
  if (type === 'B') return bytesOf(value).length
  if (type === 'S' && typeof content === 'string') return content.length
  if (Array.isArray(content)) return content.length
  return isJsonObject(content) ? Object.keys(content).length : undefined
}
