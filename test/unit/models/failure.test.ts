import { describe, expect, it } from 'vitest'
import { parseJson } from '../../../src/core/json.ts'
import { errorText, failed, isGpuLost, isGpuOom, reportedError } from '../../../src/models/failure.ts'

describe('isGpuOom', () => {
  it.each([
    'CUDA out of memory. Tried to allocate 20.00 MiB',
    'torch.cuda.OutOfMemoryError: something',
    'torch.OutOfMemoryError: CUDA out of memory',
    'RuntimeError: CUDA error: out of memory',
    'cudaMalloc failed: out of memory',
    'HIP out of memory',
    'CUDA_ERROR_OUT_OF_MEMORY',
    'CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate',
  ])('knows %s', (text) => {
    expect(isGpuOom(text)).toBe(true)
  })

  it.each(['out of memory', 'CUDA error: invalid argument', 'cuda\nout of memory', ''])(
    'passes over %j',
    (text) => {
      expect(isGpuOom(text)).toBe(false)
    },
  )

  it('takes no long time over a long text', () => {
    expect(isGpuOom('cuda out of '.repeat(100_000))).toBe(false)
    expect(isGpuOom('out of memory '.repeat(100_000))).toBe(false)
  })
})

describe('failed', () => {
  it('goes by what the answer says of the GPU', () => {
    expect(failed('x').type).toBe('generation')
    expect(failed('x', { statusCode: 500, body: 'CUDA out of memory' })).toMatchObject({
      type: 'gpu_oom',
      isRetriable: false,
      shouldReplace: true,
    })
    expect(failed('Failed to initialize NVML: Driver/library version mismatch')).toMatchObject({
      type: 'gpu_unavailable',
      isRetriable: true,
      shouldReplace: true,
    })
    expect(isGpuLost('NVML is fine')).toBe(false)
  })
})

describe('errorText', () => {
  it.each([
    ['{"error": "a"}', 'a'],
    ['{"error": {"message": "b", "code": 3}}', 'b'],
    ['{"object": "error", "message": "c"}', 'c'],
    ['{"detail": "d"}', 'd'],
    ['{"detail": [{"loc": ["body", "n", 0], "msg": "e"}, {"msg": "f"}]}', 'body.n.0: e; f'],
    ['{"other": 1}', '{"other": 1}'],
    [' plain \n', 'plain'],
    ['', ''],
    ['\u001b[31mred', '\\x1b[31mred'],
  ])('finds the sentence in %j', (body, text) => {
    expect(errorText(body)).toBe(text)
  })

  it('is not long', () => {
    expect(errorText('x'.repeat(100_000)).length).toBeLessThanOrEqual(2000)
  })
})

describe('reportedError', () => {
  it.each([
    ['{"error": "a"}', 'a'],
    ['{"error": {"code": 1}}', 'the server reports an error'],
    ['{"error": null}', undefined],
    ['{"error": ""}', undefined],
    ['{"error": false}', undefined],
    ['{}', undefined],
    ['[]', undefined],
  ])('reads %s', (json, error) => {
    expect(reportedError(parseJson(json))).toBe(error)
  })
})
