import { describe, expect, it } from 'vitest'
import { packTensor, unpackTensor } from '../../../src/models/grpc/raw-tensor.ts'
import type { TensorValue } from '../../../src/models/tensors.ts'

describe('raw tensors', () => {
  it.each<[string, TensorValue[], string]>([
    ['UINT32', [1, 0xffffffff], '01000000ffffffff'],
    ['INT32', [-1], 'ffffffff'],
    ['UINT64', [258], '0201000000000000'],
    ['INT64', [-2], 'feffffffffffffff'],
    ['UINT16', [513], '0102'],
    ['INT16', [-2], 'feff'],
    ['UINT8', [255], 'ff'],
    ['INT8', [-128], '80'],
    ['FP32', [0.5], '0000003f'],
    ['FP64', [1], '000000000000f03f'],
    ['BOOL', [true, false], '0100'],
    ['BYTES', ['é', ''], '02000000c3a900000000'],
  ])('writes and reads %s', (datatype, values, hex) => {
    const packed = packTensor('x', datatype, values)
    expect(packed.toString('hex')).toBe(hex)
    expect(unpackTensor('x', datatype, packed)).toEqual(values)
  })

  it.each<[string, TensorValue]>([
    ['UINT32', -1],
    ['UINT32', 'a'],
    ['INT8', 128],
    ['INT64', 0.5],
    ['INT64', 'a'],
    ['FP16', 1],
  ])('refuses %s of %j', (datatype, value) => {
    expect(() => packTensor('x', datatype, [value])).toThrow(/^input x: /)
  })

  it('takes what does not fit for a failure of the server', () => {
    for (const [datatype, bytes] of [
      ['UINT32', 3],
      ['BYTES', 2],
      ['FP16', 2],
    ] as const) {
      expect(() => unpackTensor('x', datatype, Buffer.alloc(bytes))).toThrow(/^output x: /)
    }
    expect(() => unpackTensor('x', 'BYTES', Buffer.from('ff00000061', 'hex'))).toThrow('cut off')
  })
})
