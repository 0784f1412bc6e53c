import { kserveGrpc } from '../models/grpc/kserve-grpc.ts'
import { cog } from '../models/http/cog.ts'
import { kserve } from '../models/http/kserve.ts'
import { openai } from '../models/http/openai.ts'
import { raw } from '../models/http/raw.ts'
import { tritonGenerate } from '../models/http/triton-generate.ts'
import type { Protocol, ProtocolName } from '../models/protocol.ts'

export { loadTokenizer } from '../models/tokenizers/load.ts'

const PROTOCOLS: Readonly<Record<ProtocolName, Protocol>> = {
  openai,
  kserve,
  'triton-generate': tritonGenerate,
  cog,
  raw,
  'kserve-grpc': kserveGrpc,
}

/** What speaks a protocol. */
export function protocolOf(name: ProtocolName): Protocol {
  return PROTOCOLS[name]
}
