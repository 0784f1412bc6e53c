export interface Difference {
  reason: string
  /** What the embedded one answers, so that it can't change unnoticed. */
  own: object
}

const documents =
  'DynamoDB Local leaves numbers inside of maps and lists as they were written; DynamoDB itself does not'
const cancelled =
  'DynamoDB documents this as a reason of a cancelled transaction; DynamoDB Local refuses the request'
const cancellation = {
  name: 'TransactionCanceledException',
  reasons: [{ Code: 'None' }, { Code: 'ValidationError' }],
}

/** Where the embedded DynamoDB answers otherwise than Amazon's DynamoDB Local, and why that is left so. */
export const KNOWN_DIFFERENCES: Readonly<Record<string, Difference>> = {
  'number: plus sign': {
    reason: 'dynalite refuses a leading plus sign, which no JSON writer and no SDK produces',
    own: { name: 'ValidationException' },
  },
  'value: number inside of a map': {
    reason: documents,
    own: { answer: { value: { M: { n: { N: '10000000000000000000000' }, l: { L: [{ N: '0' }] } } } } },
  },
  'update: SET nested': {
    reason: documents,
    own: { answer: [{}, { map: { M: { x: { N: '10000000000000000000000' } } } }] },
  },
  'delete: nothing there': {
    reason: 'DynamoDB Local tells the consumed capacity here although nobody asked for it',
    own: { answer: {} },
  },
  'transaction: a missing key': { reason: cancelled, own: cancellation },
  'transaction: an update that does not fit the item': { reason: cancelled, own: cancellation },
}
