import { ExactNumber } from '../../core/exact-number.ts'
import {
  formatJson,
  fromPlain,
  isJsonArray,
  isJsonObject,
  type Json,
  type JsonObject,
} from '../../core/json.ts'
import {
  ModelError,
  type ModelAnswer,
  type ModelCall,
  type Protocol,
  type Readiness,
  type ServerOptions,
} from '../protocol.ts'
import { completeByTensors } from '../tensor-completion.ts'
import type { Tensor, TensorServer, TensorValue } from '../tensors.ts'
import { packTensor, unpackTensor } from './raw-tensor.ts'
import { KserveService } from './service.ts'

/** KServe v2 over gRPC, as Triton has it on port 8001. */
export const kserveGrpc: Protocol = {
  name: 'kserve-grpc',
  connect(endpoint, options) {
    const service = new KserveService(endpoint, options)
    return {
      readiness: (signal) => readiness(service, options, signal),
      // Nothing of what it works on can be known.
      isIdle: () => Promise.resolve(false),
      call: (call, signal) => infer(service, options, call, signal),
      close: () => {
        service.close()
      },
    }
  },
}

async function readiness(
  service: KserveService,
  options: ServerOptions,
  signal: AbortSignal,
): Promise<Readiness> {
  try {
    const { ready } = await service.ask('ServerReady', {}, {}, signal)
    if (!ready) return 'loading'
    if (options.model === undefined) return 'ready'
    const model = await service.ask('ModelReady', { name: options.model }, {}, signal)
    return model.ready ? 'ready' : 'loading'
  } catch (error) {
    if (error instanceof ModelError) return 'loading'
    throw error
  }
}

async function infer(
  service: KserveService,
  options: ServerOptions,
  call: ModelCall,
  signal: AbortSignal,
): Promise<ModelAnswer> {
  const body = bodyOf(call)
  const named = body.get('model_name') ?? body.get('model') ?? options.model
  if (typeof named !== 'string') {
    throw new ModelError('validation', 'no model is named: name it as model, or in the settings')
  }
  const server = overGrpc(service, call)
  if (!body.has('inputs')) return await completeByTensors(server, named, body, options.tokenizer, signal)
  const { outputs, response } = await server.infer(named, tensorsOf(body.get('inputs')), signal)
  const output = fromPlain({ model_name: named, id: call.id, outputs })
  return { output, response: { ...response, body: formatJson(output) } }
}

function bodyOf({ payload }: ModelCall): JsonObject {
  if ('messages' in payload) {
    throw new ModelError(
      'validation',
      'messages: a model of tensors takes no chat; send a prompt, or its inputs as body',
    )
  }
  if ('prompt' in payload)
    return new Map<string, Json>([['prompt', payload.prompt], ...(payload.parameters ?? [])])
  const body = 'body' in payload ? payload.body : payload.input
  if (!isJsonObject(body))
    throw new ModelError('validation', 'body must be an object for protocol kserve-grpc')
  return body
}

function overGrpc(service: KserveService, call: ModelCall): TensorServer {
  return {
    describe: (model, signal) => service.ask('ModelMetadata', { name: model }, call.headers, signal),
    infer: async (model, inputs, signal) => {
      const request = {
        modelName: model,
        id: call.id,
        inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
        rawInputContents: inputs.map(({ name, datatype, data }) => packTensor(name, datatype, data)),
      }
      const answer = await service.ask('ModelInfer', request, call.headers, signal)
      const outputs = answer.outputs.map(({ name, datatype, shape, contents }, index): Tensor => {
        const packed = answer.rawOutputContents[index]
        const data = packed === undefined ? listed(contents) : unpackTensor(name, datatype, packed)
        return { name, datatype, shape, data }
      })
      return { outputs, response: { statusCode: 200, body: formatJson(fromPlain({ outputs })) } }
    },
  }
}

/** Only one of the lists has members. */
function listed(contents: object | null): TensorValue[] {
  const lists: unknown[] = Object.values(contents ?? {})
  const values: unknown[] = lists.flat()
  return values.map((value) =>
    Buffer.isBuffer(value)
      ? value.toString()
      : typeof value === 'number' || typeof value === 'boolean'
        ? value
        : String(value),
  )
}

/** The tensors of a request in KServe's JSON form. */
function tensorsOf(inputs: Json | undefined): Tensor[] {
  if (!isJsonArray(inputs)) throw new ModelError('validation', 'inputs must be a list of tensors')
  return inputs.map((input) => {
    const name = isJsonObject(input) ? input.get('name') : undefined
    const datatype = isJsonObject(input) ? input.get('datatype') : undefined
    const shape = isJsonObject(input) ? input.get('shape') : undefined
    if (
      !isJsonObject(input) ||
      typeof name !== 'string' ||
      typeof datatype !== 'string' ||
      !isJsonArray(shape)
    ) {
      throw new ModelError('validation', 'inputs: each must have a name, a datatype, a shape and data')
    }
    return { name, datatype, shape: shape.map(Number), data: flat(input.get('data') ?? []) }
  })
}

function flat(json: Json): TensorValue[] {
  if (isJsonArray(json)) return json.flatMap(flat)
  if (json instanceof ExactNumber) return [json.toNumber()]
  return typeof json === 'string' || typeof json === 'boolean' ? [json] : []
}
