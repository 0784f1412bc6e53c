import { describe, expect, test } from 'vitest'
import {
  md5OfAttributes,
  parseMessageAttributes,
  selectAttributes,
} from '../../../src/embedded/sqs/message-attributes.ts'
import {
  parseQueueAttributes,
  parseRedrivePolicy,
  withDefaults,
} from '../../../src/embedded/sqs/queue-attributes.ts'
import { sqsErrors } from '../../../src/embedded/sqs/errors.ts'

describe('digests of message attributes', () => {
  test('count names, types, kinds and values in order of name', () => {
    const one = { DataType: 'String', StringValue: 'x' }
    expect(md5OfAttributes({ b: one, a: one })).toBe(md5OfAttributes({ a: one, b: one }))
    const variants = [
      { a: one },
      { b: one },
      { a: { ...one, StringValue: 'y' } },
      { a: { ...one, DataType: 'String.custom' } },
      { a: { DataType: 'String', BinaryValue: 'eA==' } },
    ]
    expect(new Set(variants.map(md5OfAttributes)).size).toBe(variants.length)
  })

  test('are put together as AWS documents', () => {
    // Computed apart from this program: length, name, length, type, kind, length, value.
    const attributes = {
      test_attribute_name_1: { DataType: 'String', StringValue: 'test_attribute_value_1' },
    }
    expect(md5OfAttributes(attributes)).toBe('ba056227cfd9533dba1f72ad9816d233')
  })
})

test('attributes are selected by name, by prefix and all', () => {
  const attributes = parseMessageAttributes({
    'a.b': { DataType: 'String', StringValue: '1' },
    'a.c': { DataType: 'Number', StringValue: '-1.5e-3' },
    ab: { DataType: 'Binary.png', BinaryValue: 'AAA=' },
  })
  expect(Object.keys(selectAttributes(attributes, ['a.*']) ?? {})).toEqual(['a.b', 'a.c'])
  expect(Object.keys(selectAttributes(attributes, ['ab', 'none']) ?? {})).toEqual(['ab'])
  expect(Object.keys(selectAttributes(attributes, ['.*']) ?? {})).toHaveLength(3)
  expect(selectAttributes(attributes, ['none'])).toBeUndefined()
})

test('more than ten message attributes are refused', () => {
  const many = Object.fromEntries(
    Array.from({ length: 11 }, (_, index) => [`a${String(index)}`, { DataType: 'String', StringValue: 'x' }]),
  )
  expect(() => parseMessageAttributes(many)).toThrow('[11]')
})

describe('queue attributes', () => {
  test('are checked one by one', () => {
    expect(parseQueueAttributes({ VisibilityTimeout: '007', FifoQueue: 'True' }, true)).toEqual({
      VisibilityTimeout: '7',
      FifoQueue: 'true',
    })
    expect(() => parseQueueAttributes({ VisibilityTimeout: 7 }, false)).toThrow('must be a string')
    expect(() => parseQueueAttributes({ __proto__x: '7' }, false)).toThrow('Unknown Attribute')
    expect(() => parseQueueAttributes(JSON.parse('{"__proto__": "7"}') as never, false)).toThrow(
      'Unknown Attribute',
    )
    expect(() => parseQueueAttributes({ constructor: '7' }, false)).toThrow('Unknown Attribute')
    expect(() => parseQueueAttributes({ DelaySeconds: '1e2' }, false)).toThrow('DelaySeconds')
    expect(() => parseQueueAttributes({ DeduplicationScope: 'all' }, true)).toThrow('DeduplicationScope')
  })

  test('have the defaults of SQS', () => {
    expect(withDefaults({ DelaySeconds: '3' })).toMatchObject({
      VisibilityTimeout: '30',
      DelaySeconds: '3',
      MaximumMessageSize: '1048576',
      MessageRetentionPeriod: '345600',
      ReceiveMessageWaitTimeSeconds: '0',
    })
  })

  test.each([
    '',
    'x',
    '[]',
    '{}',
    '{"deadLetterTargetArn": "a"}',
    '{"deadLetterTargetArn": "a", "maxReceiveCount": 1001}',
  ])('refuse the redrive policy %j', (text) => {
    expect(() => parseRedrivePolicy(text)).toThrow('RedrivePolicy')
  })
})

test('errors have a name for each of the two protocols', () => {
  expect(sqsErrors.queueDoesNotExist()).toMatchObject({
    status: 400,
    type: 'com.amazonaws.sqs#QueueDoesNotExist',
    code: 'QueueDoesNotExist',
    queryCode: 'AWS.SimpleQueueService.NonExistentQueue',
  })
})
