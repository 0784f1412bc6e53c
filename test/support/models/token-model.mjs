// A server of KServe v2 with one model in the shape of FauxPilot's: token ids in, token ids out. It speaks gRPC (HTTP/2 and
// protobuf, by hand, so that nothing of the product's own descriptor is used) and the same protocol as JSON over HTTP.
// usage: node token-model.mjs '{"next": {"5": 6}, "endId": 0}'   (which token comes after which; none = the end)
import { createServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'

const settings = {
  model: 'fastertransformer',
  next: {},
  endId: 0,
  ready: true,
  grpc: { port: 0, host: '127.0.0.1' },
  http: { port: 0, host: '127.0.0.1' },
  // For calls: hang, or a gRPC status with a text.
  hang: false,
  fail: undefined,
  // Answers as lists of numbers in place of raw bytes.
  listed: false,
  ...JSON.parse(process.argv[2] ?? '{}'),
}
const seen = []

const INPUTS = [
  ['input_ids', 'UINT32', [-1, -1]],
  ['input_lengths', 'UINT32', [-1, 1]],
  ['request_output_len', 'UINT32', [-1, -1]],
  ['temperature', 'FP32', [-1, 1]],
  ['runtime_top_k', 'UINT32', [-1, 1]],
  ['runtime_top_p', 'FP32', [-1, 1]],
  ['random_seed', 'INT32', [-1, 1]],
  ['is_return_log_probs', 'BOOL', [-1, 1]],
  ['beam_width', 'UINT32', [-1, 1]],
  ['start_id', 'UINT32', [-1, 1]],
  ['end_id', 'UINT32', [-1, 1]],
  ['bad_words_list', 'INT32', [-1, 2, -1]],
  ['stop_words_list', 'INT32', [-1, 2, -1]],
]
const OUTPUTS = [
  ['output_ids', 'UINT32', [-1, -1, -1]],
  ['sequence_length', 'UINT32', [-1, -1]],
]

class Refusal extends Error {}

/** inputs: Map of name → {datatype, shape, data}; → [[name, datatype, shape, data]] */
function infer(inputs) {
  for (const [name, { datatype, shape, data }] of inputs) {
    const known = INPUTS.find((input) => input[0] === name)
    if (known === undefined) throw new Refusal(`unexpected inference input '${name}'`)
    if (known[1] !== datatype) throw new Refusal(`inference input '${name}' data-type is '${datatype}'`)
    if (known[2].length !== shape.length) throw new Refusal(`unexpected shape for input '${name}'`)
    if (data.length !== shape.reduce((all, one) => all * one, 1)) throw new Refusal(`wrong size of '${name}'`)
  }
  for (const name of ['input_ids', 'input_lengths', 'request_output_len']) {
    if (!inputs.has(name)) throw new Refusal(`expected input '${name}'`)
  }
  seen.push(Object.fromEntries([...inputs].map(([name, { shape, data }]) => [name, { shape, data }])))
  const ids = inputs.get('input_ids')
  const [rows, width] = ids.shape
  const most = inputs.get('request_output_len').data[0]
  const stops = wordsOf(inputs.get('stop_words_list'))
  const end = inputs.get('end_id')?.data[0] ?? settings.endId
  const output = []
  const lengths = []
  for (let row = 0; row < rows; row += 1) {
    const all = ids.data.slice(row * width, row * width + inputs.get('input_lengths').data[row])
    const until = all.length + most
    while (all.length < until) {
      const next = settings.next[all.at(-1)]
      if (next === undefined || next === end) break
      all.push(next)
      if (stops.some((stop) => stop.every((id, at) => all.at(at - stop.length) === id))) break
    }
    lengths.push(all.length)
    output.push(...all, ...Array(width + most - all.length).fill(end))
  }
  return [
    ['output_ids', 'UINT32', [rows, 1, width + most], output],
    ['sequence_length', 'UINT32', [rows, 1], lengths],
  ]
}

/** The words of the first row: ids, and where each ends. */
function wordsOf(tensor) {
  if (tensor === undefined) return []
  const width = tensor.shape[2]
  const words = []
  let start = 0
  for (const end of tensor.data.slice(width, 2 * width)) {
    if (end <= 0) break
    words.push(tensor.data.slice(start, end))
    start = end
  }
  return words
}

// protobuf, as much as is needed: varints, and fields of bytes

function readVarint(bytes, at) {
  let value = 0n
  for (let shift = 0n; ; shift += 7n) {
    const byte = bytes[at++]
    value |= BigInt(byte & 127) << shift
    if (byte < 128) return [Number(BigInt.asIntN(64, value)), at]
  }
}

/** → Map of field number → values (numbers, or Buffers) */
function readMessage(bytes) {
  const fields = new Map()
  let at = 0
  while (at < bytes.length) {
    let tag
    let value
    ;[tag, at] = readVarint(bytes, at)
    if ((tag & 7) === 0) [value, at] = readVarint(bytes, at)
    else if ((tag & 7) === 2) {
      let length
      ;[length, at] = readVarint(bytes, at)
      value = bytes.subarray(at, at + length)
      at += length
    } else throw new Error(`wire type ${tag & 7}`)
    const field = tag >> 3
    fields.set(field, [...(fields.get(field) ?? []), value])
  }
  return fields
}

function varint(value) {
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes = []
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}

const field = (number, content) => {
  const bytes = Buffer.from(content)
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes])
}
const packed = (number, values) => field(number, Buffer.concat(values.map(varint)))
const flag = (number, value) => Buffer.concat([varint(number * 8), varint(value ? 1 : 0)])

/** A repeated integer, packed or not. */
function integers(values) {
  return (values ?? []).flatMap((value) => {
    if (typeof value === 'number') return [value]
    const list = []
    for (let at = 0, one; at < value.length;) {
      ;[one, at] = readVarint(value, at)
      list.push(one)
    }
    return list
  })
}

const SIZES = { UINT32: 4, INT32: 4, FP32: 4, BOOL: 1 }
const READ = {
  UINT32: (bytes, at) => bytes.readUInt32LE(at),
  INT32: (bytes, at) => bytes.readInt32LE(at),
  FP32: (bytes, at) => bytes.readFloatLE(at),
  BOOL: (bytes, at) => bytes[at] === 1,
}

function unpack(datatype, bytes) {
  const size = SIZES[datatype]
  if (size === undefined || bytes.length % size !== 0) throw new Refusal(`raw contents of ${datatype}`)
  return Array.from({ length: bytes.length / size }, (_, index) => READ[datatype](bytes, index * size))
}

function uint32s(values) {
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, index) => bytes.writeUInt32LE(value, index * 4))
  return bytes
}

const METHODS = {
  ServerReady: () => flag(1, settings.ready),
  ModelReady: (request) => flag(1, settings.ready && String(request.get(1)?.[0]) === settings.model),
  ModelMetadata: (request) => {
    assertModel(String(request.get(1)?.[0]))
    const infos = (number, list) =>
      list.map(([name, datatype, shape]) =>
        field(number, Buffer.concat([field(1, name), field(2, datatype), packed(3, shape)])),
      )
    return Buffer.concat([
      field(1, settings.model),
      field(2, '1'),
      field(3, 'ensemble'),
      ...infos(4, INPUTS),
      ...infos(5, OUTPUTS),
    ])
  },
  ModelInfer: (request) => {
    assertModel(String(request.get(1)?.[0]))
    const raw = request.get(7) ?? []
    const inputs = (request.get(5) ?? []).map((bytes, index) => {
      const tensor = readMessage(bytes)
      const datatype = String(tensor.get(2)[0])
      const data = unpack(datatype, raw[index] ?? Buffer.alloc(0))
      return [String(tensor.get(1)[0]), { datatype, shape: integers(tensor.get(3)), data }]
    })
    const outputs = infer(new Map(inputs))
    return Buffer.concat([
      field(1, settings.model),
      ...outputs.map(([name, datatype, shape, data]) =>
        field(
          5,
          Buffer.concat([
            field(1, name),
            field(2, datatype),
            packed(3, shape),
            ...(settings.listed ? [field(5, packed(4, data))] : []),
          ]),
        ),
      ),
      ...(settings.listed ? [] : outputs.map((output) => field(6, uint32s(output[3])))),
    ])
  },
}

function assertModel(name) {
  if (name !== settings.model) throw new Refusal(`Request for unknown model: '${name}' is not found`)
}

const grpcServer = createHttp2Server()
grpcServer.on('stream', (stream, headers) => {
  const chunks = []
  stream.on('error', () => undefined)
  stream.on('data', (chunk) => chunks.push(chunk))
  stream.on('end', () => {
    const name = headers[':path'].replace('/inference.GRPCInferenceService/', '')
    const isCall = name === 'ModelInfer'
    if (isCall && settings.hang) {
      stream.on('close', () => seen.push('closed'))
      return
    }
    const end = (code, text) => {
      stream.respond(
        {
          ':status': 200,
          'content-type': 'application/grpc',
          'grpc-status': code,
          'grpc-message': encodeURIComponent(text),
        },
        { endStream: true },
      )
    }
    if (isCall && settings.fail !== undefined) return end(...settings.fail)
    const method = METHODS[name]
    if (method === undefined) return end(12, 'no such method')
    try {
      const message = method(readMessage(Buffer.concat(chunks).subarray(5)))
      const prefix = Buffer.alloc(5)
      prefix.writeUInt32BE(message.length, 1)
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.concat([prefix, message]))
    } catch (error) {
      end(error instanceof Refusal ? 3 : 13, error.message)
    }
  })
})

const httpServer = createServer((request, response) => {
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const answer = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    const body = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString())
    const base = `/v2/models/${settings.model}`
    const infos = (list) => list.map(([name, datatype, shape]) => ({ name, datatype, shape }))
    try {
      if (request.url === '/settings') return answer(200, Object.assign(settings, body))
      if (request.url === '/seen') return answer(200, seen)
      if (request.url === '/v2/health/ready' || request.url === `${base}/ready`)
        return answer(settings.ready ? 200 : 400, {})
      if (request.url === '/v2/repository/index')
        return answer(200, [{ name: settings.model, state: 'READY' }])
      if (request.url === base)
        return answer(200, { name: settings.model, inputs: infos(INPUTS), outputs: infos(OUTPUTS) })
      if (request.url !== `${base}/infer`) return answer(404, { error: 'not found' })
      const outputs = infer(new Map(body.inputs.map(({ name, ...tensor }) => [name, tensor])))
      answer(200, {
        outputs: outputs.map(([name, datatype, shape, data]) => ({ name, datatype, shape, data })),
      })
    } catch (error) {
      answer(error instanceof Refusal ? 400 : 500, { error: error.message })
    }
  })
})

grpcServer.listen(settings.grpc, () => {
  httpServer.listen(settings.http, () => {
    console.log(JSON.stringify({ grpc: grpcServer.address(), http: httpServer.address() }))
  })
})
process.on('SIGTERM', () => process.exit(0))
