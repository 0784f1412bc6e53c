import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'

/** An engine's socket behind TLS on loopback, for clients whose certificate bears its authority's signature. */
export interface TlsFront extends Disposable {
  port: number
  /** Those that are open. */
  connections(): number
  /** Holds ca.pem, cert.pem and key.pem of a client. */
  folder: string
  /** Holds ca.pem of another authority. */
  foreign: string
}

/** Makes an authority, certificates for this server and for a client, and listens with them. */
export async function startTlsFront(
  socketPath: string,
  names = 'DNS:localhost,IP:127.0.0.1',
): Promise<TlsFront> {
  const folder = mkdtempSync(join(tmpdir(), 'opthub-tls-'))
  const foreign = join(folder, 'foreign')
  mkdirSync(foreign)
  createAuthority(folder)
  createAuthority(foreign)
  sign(folder, 'server', `subjectAltName=${names}`)
  sign(folder, 'client', 'extendedKeyUsage=clientAuth')
  for (const kind of ['cert', 'key']) {
    writeFileSync(join(folder, `${kind}.pem`), readFileSync(join(folder, `client-${kind}.pem`)))
  }
  const sockets = new Set<Socket>()
  const server = createServer(
    {
      ca: readFileSync(join(folder, 'ca.pem')),
      cert: readFileSync(join(folder, 'server-cert.pem')),
      key: readFileSync(join(folder, 'server-key.pem')),
      requestCert: true,
      rejectUnauthorized: true,
      allowHalfOpen: true,
    },
    (secure) => {
      sockets.add(secure)
      secure.once('close', () => sockets.delete(secure))
      const plain = connect({ path: socketPath, allowHalfOpen: true })
      secure.pipe(plain).pipe(secure)
      for (const [one, other] of [
        [secure, plain],
        [plain, secure],
      ] as const) {
        one.on('error', () => undefined)
        one.on('close', () => other.destroy())
      }
    },
  ).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    connections: () => sockets.size,
    port: (server.address() as AddressInfo).port,
    folder,
    foreign,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy()
      // Not awaited: node forgets sockets whose handshake failed, but goes on counting them.
      server.close()
      rmSync(folder, { recursive: true })
    },
  }
}

function createAuthority(folder: string): void {
  openssl(
    folder,
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test-authority -keyout ca-key.pem -out ca.pem',
  )
}

function sign(folder: string, name: string, extension: string): void {
  openssl(
    folder,
    `req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=${name} -keyout ${name}-key.pem -out ${name}.csr`,
  )
  writeFileSync(join(folder, 'extension'), extension)
  openssl(
    folder,
    `x509 -req -in ${name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile extension -out ${name}-cert.pem`,
  )
}

function openssl(folder: string, words: string): void {
  execFileSync('openssl', words.split(' '), { cwd: folder, stdio: 'pipe' })
}
