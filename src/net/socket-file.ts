import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http'
import { createConnection, type NetConnectOpts, type Socket } from 'node:net'
import { nextTick } from 'node:process'

/** Linux: a descriptor that stands for the file itself, of whatever sort it is. Node has no name for it. */
const O_PATH = 0o10000000

/** An HTTP agent whose connections to a unix socket go to that file alone, see `connectSocketFile`. */
export class SocketFileAgent extends Agent {
  readonly #path: string

  constructor(path: string, options: AgentOptions = {}) {
    super(options)
    this.#path = path
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, socket: Socket) => void,
  ): Socket | undefined {
    try {
      return connectSocketFile(this.#path, options as NetConnectOpts)
    } catch (error) {
      // As late as a refused connection is told; there is no socket then, which the type has no word for.
      nextTick(() => callback?.(error as Error, undefined as never))
      return undefined
    }
  }
}

/**
 * Connects to a unix socket in a folder that others write to. What stands at the path must be the socket itself: the
 * system would follow a link, out of the folder, to any socket that this process may use. Linux only. Throws when there is
 * no socket; 'error' on what it returns when nobody listens.
 */
export function connectSocketFile(path: string, options: Partial<NetConnectOpts> = {}): Socket {
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW)
  try {
    if (!fstatSync(fd).isSocket()) throw new Error(`${path} is no socket`)
    // By the descriptor, since another file may stand at the path by now. It is short, too, as a socket's path must be.
    const socket = createConnection({ ...options, path: `/proc/self/fd/${fd}` })
    const close = (): void => {
      socket.off('connect', close).off('close', close)
      closeSync(fd)
    }
    return socket.on('connect', close).on('close', close)
  } catch (error) {
    closeSync(fd)
    throw error
  }
}
