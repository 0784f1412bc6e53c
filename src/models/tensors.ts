import type { ModelResponse } from './protocol.ts'

/** What a model of KServe v2 takes or gives under a name. */
export interface TensorInfo {
  name: string
  /** UINT32, FP32, BYTES … */
  datatype: string
  /** -1 = any number. */
  shape: readonly number[]
}

/** Its values in one row, the last dimension running fastest. */
export interface Tensor extends TensorInfo {
  data: readonly TensorValue[]
}

export type TensorValue = number | string | boolean

export interface ModelInfo {
  inputs: readonly TensorInfo[]
  outputs: readonly TensorInfo[]
}

/** KServe v2, whatever carries it. Throws ModelError. */
export interface TensorServer {
  describe(model: string, signal: AbortSignal): Promise<ModelInfo>
  infer(
    model: string,
    inputs: readonly Tensor[],
    signal: AbortSignal,
  ): Promise<{ outputs: readonly Tensor[]; response: ModelResponse }>
}
