import type { ModelCall, Payload } from '../../models/protocol.ts'
import type { InferenceRequest } from './message.ts'

/** What a server is asked for a job. */
export function modelCall({ id, path, method, headers }: InferenceRequest, payload: Payload): ModelCall {
  return {
    id,
    headers,
    payload,
    ...(path === undefined ? {} : { path }),
    ...(method === undefined ? {} : { method }),
  }
}
