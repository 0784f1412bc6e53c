import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Endpoint } from '../../../src/executors/executor.ts'

export interface SeenCall {
  method: string
  path: string
  headers: Record<string, string>
  raw: string
  /** The caller's port. */
  peer: number
  /** Its caller left before the answer. */
  closed: boolean
}

export interface StandIn extends AsyncDisposable {
  endpoint: Endpoint
  set(settings: object): Promise<void>
  state(): Promise<{
    seen: SeenCall[]
    calls: number
    canceled: string[]
    settings: Record<string, unknown>
  }>
}

/** Starts stand-in.mjs as a process of its own, on a free port or on a unix socket. */
export async function startStandIn(settings: {
  protocol: string
  listen?: { path: string }
  [key: string]: unknown
}): Promise<StandIn> {
  const script = join(import.meta.dirname, 'stand-in.mjs')
  const child = spawn(process.execPath, [script, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const { address } = JSON.parse(line.toString()) as { address: string | { port: number } }
  const endpoint: Endpoint =
    typeof address === 'string' ? { socketPath: address } : { host: '127.0.0.1', port: address.port }
  return {
    endpoint,
    set: async (changed) => {
      await ask(endpoint, 'PUT', '/settings', JSON.stringify(changed))
    },
    state: async () =>
      JSON.parse(await ask(endpoint, 'GET', '/seen')) as Awaited<ReturnType<StandIn['state']>>,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const end = once(child, 'exit')
      child.kill('SIGKILL')
      await end
    },
  }
}

async function ask(endpoint: Endpoint, method: string, path: string, body?: string): Promise<string> {
  const sent = request({ ...endpoint, method, path, agent: false })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [NodeJS.ReadableStream]
  return await text(response)
}
