import { jsonOf } from '../failure.ts'
import type { Protocol } from '../protocol.ts'
import { HttpClient } from './client.ts'
import { ask, isSuccess, isUnknownPath, plainBody, put, responseOf } from './talk.ts'

/** Any HTTP server: 2xx is success, and the answer is what it is. */
export const raw: Protocol = {
  name: 'raw',
  connect(endpoint, options) {
    const client = new HttpClient(endpoint, options)
    return {
      readiness: async (signal) => {
        const health = await ask(client, options.healthPath ?? '/health', signal)
        // A server that knows no such path has at least begun to answer.
        const isUp = isSuccess(health) || (options.healthPath === undefined && isUnknownPath(health))
        return isUp ? 'ready' : 'loading'
      },
      // Nothing of what it works on can be known, nor any call that would do no harm.
      isIdle: () => Promise.resolve(false),
      call: async (call, signal) => {
        const request = { method: 'POST', path: '/', body: plainBody(call.payload) }
        const answer = await put(client, call, request, signal)
        return { output: jsonOf(answer.body) ?? answer.body, response: responseOf(answer) }
      },
      close: () => {
        client.close()
      },
    }
  },
}
