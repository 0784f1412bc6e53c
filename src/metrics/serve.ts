import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { EXIT, messageOf, OperatorError } from '../core/errors.ts'
import type { Metrics } from './metrics.ts'

/**
 * Serves `/metrics`, `/healthz` (200 while the process lives) and `/readyz` (200 while it takes jobs, else 503 with the
 * reason). `where` is a port of loopback, or host:port; 0 = any free port. OperatorError when it can't listen there.
 */
export async function serveMetrics(
  metrics: Metrics,
  where: number | string,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://runner')
    answer(pathname, request.method ?? '', metrics).then(
      ({ status, type, body }) => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
        response.end(request.method === 'HEAD' ? undefined : body)
      },
      () => {
        response.writeHead(500).end()
      },
    )
  })
  await listen(server, where)
  // It must not keep a runner alive that has nothing left to do.
  server.unref()
  const { address, family, port: taken } = server.address() as AddressInfo
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}/metrics`,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Answer {
  status: number
  type: string
  body: string
}

const TEXT = 'text/plain; charset=utf-8'

async function answer(path: string, method: string, metrics: Metrics): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, type: TEXT, body: 'GET only\n' }
  switch (path) {
    case '/metrics':
      return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await metrics.text() }
    case '/healthz':
      return { status: 200, type: TEXT, body: 'alive\n' }
    case '/readyz':
      return metrics.isReady()
        ? { status: 200, type: TEXT, body: 'ready\n' }
        : { status: 503, type: TEXT, body: `not ready: ${metrics.reason()}\n` }
    default:
      return { status: 404, type: TEXT, body: 'There are /metrics, /healthz and /readyz.\n' }
  }
}

async function listen(server: Server, where: number | string): Promise<void> {
  const [, host = '127.0.0.1', port = where] = /^(.+):(\d+)$/.exec(String(where)) ?? []
  try {
    server.listen(Number(port), host.replace(/^\[(.*)\]$/, '$1'))
    await once(server, 'listening')
  } catch (error) {
    throw new OperatorError(
      `The metrics can't be served at ${host}:${port}`,
      messageOf(error),
      'Choose another metrics_port (--metrics-port), or leave it out.',
      EXIT.failedStart,
      { cause: error },
    )
  }
}
