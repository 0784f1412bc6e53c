import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

type Inputs = Record<string, { shape: number[]; data: (number | boolean)[] }>

export interface TokenModel extends AsyncDisposable {
  grpc: { host: string; port: number }
  http: { host: string; port: number }
  set(settings: object): Promise<void>
  seen(): Promise<(Inputs | 'closed')[]>
}

/** Starts token-model.mjs as a process of its own. */
export async function startTokenModel(settings: object): Promise<TokenModel> {
  const script = join(import.meta.dirname, 'token-model.mjs')
  const child = spawn(process.execPath, [script, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const { grpc, http } = JSON.parse(line.toString()) as {
    grpc: { port: number }
    http: { port: number }
  }
  const base = `http://127.0.0.1:${http.port}`
  return {
    grpc: { host: '127.0.0.1', port: grpc.port },
    http: { host: '127.0.0.1', port: http.port },
    set: async (changed) => {
      await fetch(`${base}/settings`, { method: 'PUT', body: JSON.stringify(changed) })
    },
    seen: async () => (await (await fetch(`${base}/seen`)).json()) as (Inputs | 'closed')[],
    [Symbol.asyncDispose]: async () => {
      const end = once(child, 'exit')
      child.kill('SIGKILL')
      await end
    },
  }
}
