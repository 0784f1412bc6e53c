import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { hostname, networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'

/** What of this machine programs could get at. */
export interface Host {
  /** What arguments of programs stand for. */
  words: Readonly<Record<string, string>>
  /** What no program may change, as one text. */
  look(): Promise<string>
  /** How many connections its listeners have had. */
  visits(): number
  close(): Promise<void>
}

/** Files and listeners on this machine, which nobody within walls may reach. */
export async function openHost(): Promise<Host> {
  const folder = await mkdtemp(join(tmpdir(), 'hostile-'))
  const file = join(folder, 'sentinel')
  await writeFile(file, 'secret of the host')
  await mkdir(join(folder, 'empty'), { mode: 0o777 })
  let visits = 0
  const listen = async (where: { port: number; host: string } | { path: string }): Promise<Server> => {
    const server = createServer((socket) => {
      visits += 1
      socket.destroy()
    })
    server.listen(where)
    await once(server, 'listening')
    return server
  }
  const name = `hostile-${crypto.randomUUID()}`
  const servers = [await listen({ port: 0, host: '0.0.0.0' }), await listen({ path: `\0${name}` })]
  const address = servers[0]?.address()
  const port = typeof address === 'object' && address !== null ? String(address.port) : ''
  const addresses = Object.values(networkInterfaces()).flatMap(
    (each) => each?.map((one) => one.address) ?? [],
  )
  return {
    words: { $FOLDER: folder, $PORT: port, $SOCKET: name, $ADDRESSES: addresses.join(',') },
    look: async () => {
      const { mode, mtimeMs } = await stat(file)
      const kernel = await Promise.all(
        ['core_pattern', 'hostname', 'domainname', 'randomize_va_space', 'modprobe'].map((each) =>
          readFile(`/proc/sys/kernel/${each}`, 'utf8').catch(() => ''),
        ),
      )
      const names = await readdir(folder, { recursive: true })
      const clock = Math.round((Date.now() - performance.now() - performance.timeOrigin) / 60_000)
      return JSON.stringify([await readFile(file, 'utf8'), mode, mtimeMs, names, kernel, hostname(), clock])
    },
    visits: () => visits,
    close: async () => {
      for (const server of servers) server.close()
      await rm(folder, { recursive: true })
    },
  }
}
