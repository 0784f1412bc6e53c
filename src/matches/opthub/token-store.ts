import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import { chmod, link, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { EXIT, messageOf, OperatorError } from '../../core/errors.ts'
import { makeFolder } from '../../core/make-folder.ts'
import type { OptHubEndpoints } from './endpoints.ts'
import { asRecord, asText } from '../../core/unknown-json.ts'
import { openPlatformKeyring, type Keyring } from './keyring.ts'

/** What `login` leaves for later calls. */
export interface StoredLogin {
  username: string
  refreshToken: string
}

/** What may be said of a stored login without opening it. */
export interface LoginSummary {
  username: string
  /** ISO 8601. */
  loggedInAt: string
  /** Where the key is that it is encrypted with. */
  key: 'keyring' | 'file'
}

/** The login of one user of this machine at one OptHub. Written by `login`, removed by `logout`, else only read. */
export interface LoginStore {
  /** Undefined when nobody is logged in. Quick: touches no keyring. */
  peek(): Promise<LoginSummary | undefined>
  /** OperatorError when there is a login that can't be opened. */
  read(): Promise<StoredLogin | undefined>
  /** `keyFile` is the file that holds the key, where there is no keyring. OperatorError when it can't be written. */
  write(login: StoredLogin): Promise<LoginSummary & { keyFile?: string }>
  /** Whether there was one. */
  remove(): Promise<boolean>
}

interface StoreOptions {
  /** The data folder; may not exist yet. */
  dataDir: string
  endpoints: OptHubEndpoints
  /** Left out = the platform's. */
  keyring?: () => Promise<Keyring | undefined>
}

const FOLDER = 'opthub'
const KEY_BYTES = 32
const CIPHER = 'aes-256-gcm'
const MAX_FILE_BYTES = 64 * 1024
const LOG_IN_AGAIN = 'Run `opthub-runner login` again.'

/**
 * The login in the data folder, readable by its owner only and encrypted (AES-256-GCM). The key is in the platform's
 * keyring; where none works it is in a file beside, which keeps the token out of backups and searches of single files,
 * not from whoever may read the folder.
 */
export function createLoginStore(options: StoreOptions): LoginStore {
  const folder = join(options.dataDir, FOLDER)
  const name = nameOf(options.endpoints)
  const file = join(folder, `login-${name}.json`)
  const keyFile = join(folder, 'login.key')
  const keyName = `login-key-${digest(file)}`
  const openKeyring = options.keyring ?? openPlatformKeyring

  async function keyringKey(create: boolean): Promise<Buffer | undefined> {
    const keyring = await openKeyring()
    if (keyring === undefined) return undefined
    const found = decodeKey(await keyring.get(keyName))
    if (found !== undefined || !create) return found
    await keyring.set(keyName, randomBytes(KEY_BYTES).toString('base64'))
    // What is there now: another process may have been quicker, and some keyrings only pretend.
    return decodeKey(await keyring.get(keyName))
  }

  async function keyFor(sealed: SealedLogin): Promise<Buffer> {
    let why = 'it is gone'
    try {
      const key = sealed.key === 'keyring' ? await keyringKey(false) : decodeKey(await readSmall(keyFile))
      if (key !== undefined) return key
    } catch (error) {
      why = messageOf(error)
    }
    const where = sealed.key === 'keyring' ? 'in the keyring' : `in ${keyFile}`
    throw cannotOpen(`its key ${where} can't be had: ${why}`)
  }

  async function load(): Promise<SealedLogin | undefined> {
    const text = await readSmall(file)
    if (text === undefined) return undefined
    const sealed = parseSealed(text)
    if (sealed === undefined) throw cannotOpen(`${file} is damaged`)
    return sealed
  }

  return {
    async peek() {
      const text = await readSmall(file).catch(() => undefined)
      return text === undefined ? undefined : parseSealed(text)?.summary
    },

    async read() {
      const sealed = await load()
      if (sealed === undefined) return undefined
      const refreshToken = unseal(sealed, await keyFor(sealed), name)
      return { username: sealed.summary.username, refreshToken }
    },

    async write({ username, refreshToken }) {
      try {
        await makeFolder(folder, 0o700)
        await chmod(folder, 0o700)
        const fromKeyring = await keyringKey(true).catch(() => undefined)
        const key = fromKeyring ?? (await fileKey(keyFile))
        const place = fromKeyring === undefined ? 'file' : 'keyring'
        const summary: LoginSummary = { username, loggedInAt: new Date().toISOString(), key: place }
        await replaceFile(file, seal(summary, refreshToken, key, name))
        return { ...summary, ...(place === 'file' ? { keyFile } : {}) }
      } catch (error) {
        throw new OperatorError(
          'The login can not be stored',
          messageOf(error),
          'Check that the data folder (OPTHUB_RUNNER_HOME) can be written.',
          EXIT.failedStart,
          { cause: error },
        )
      }
    },

    async remove() {
      const text = await readSmall(file).catch(() => '')
      await rm(file, { force: true })
      if (parseSealed(text ?? '')?.key === 'keyring') {
        const keyring = await openKeyring().catch(() => undefined)
        await keyring?.remove(keyName).catch(() => undefined)
      }
      return text !== undefined
    },
  }
}

/** One name for one client of one pool at one place. */
function nameOf({ userPoolId, clientId, cognitoUrl }: OptHubEndpoints): string {
  return `${userPoolId.replace(/[^\w-]/g, '_').slice(0, 80)}-${digest(JSON.stringify([userPoolId, clientId, cognitoUrl]))}`
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}

interface SealedLogin {
  summary: LoginSummary
  key: LoginSummary['key']
  iv: Buffer
  tag: Buffer
  data: Buffer
}

/** What is readable in the file is bound to what is not. */
function boundTo({ username, loggedInAt }: LoginSummary, name: string): Buffer {
  return Buffer.from(JSON.stringify([name, username, loggedInAt]))
}

function seal(summary: LoginSummary, secret: string, key: Buffer, name: string): string {
  const iv = randomBytes(12)
  const cipher = createCipheriv(CIPHER, key, iv).setAAD(boundTo(summary, name))
  const data = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
  const encoded = { iv, tag: cipher.getAuthTag(), data }
  const texts = Object.entries(encoded).map(([part, bytes]) => [part, bytes.toString('base64')] as const)
  return `${JSON.stringify({ version: 1, ...summary, ...Object.fromEntries(texts) })}\n`
}

function unseal({ summary, iv, tag, data }: SealedLogin, key: Buffer, name: string): string {
  try {
    const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: 16 })
    decipher.setAAD(boundTo(summary, name)).setAuthTag(tag)
    return Buffer.concat([decipher.update(data), decipher.final()]).toString('utf8')
  } catch (error) {
    throw cannotOpen('it was changed, or encrypted with another key', error)
  }
}

function cannotOpen(why: string, cause?: unknown): OperatorError {
  return new OperatorError('The stored login can not be opened', why, LOG_IN_AGAIN, EXIT.failedStart, {
    cause,
  })
}

function parseSealed(text: string): SealedLogin | undefined {
  let fields: Readonly<Record<string, unknown>>
  try {
    fields = asRecord(JSON.parse(text))
  } catch {
    return undefined
  }
  const { version, key } = fields
  const username = asText(fields['username'])
  const loggedInAt = asText(fields['loggedInAt'])
  if (version !== 1 || username === undefined || loggedInAt === undefined) return undefined
  if (key !== 'keyring' && key !== 'file') return undefined
  const bytes = (part: string): Buffer => Buffer.from(asText(fields[part]) ?? '', 'base64')
  return {
    summary: { username, loggedInAt, key },
    key,
    iv: bytes('iv'),
    tag: bytes('tag'),
    data: bytes('data'),
  }
}

function decodeKey(text: string | undefined): Buffer | undefined {
  const key = Buffer.from(text?.trim() ?? '', 'base64')
  return key.length === KEY_BYTES ? key : undefined
}

/** The key in its file, made when there is none that can be used. */
async function fileKey(path: string): Promise<Buffer> {
  const text = await readSmall(path)
  const found = decodeKey(text)
  if (found !== undefined) {
    await chmod(path, 0o600)
    return found
  }
  const key = randomBytes(KEY_BYTES)
  const temporary = await writeTemporary(path, `${key.toString('base64')}\n`)
  try {
    if (text !== undefined) await rm(path, { force: true })
    // Unlike a rename this leaves alone what another process has put there meanwhile.
    await link(temporary, path)
    return key
  } catch (error) {
    const theirs = decodeKey(await readSmall(path))
    if (theirs === undefined) throw error
    return theirs
  } finally {
    await rm(temporary, { force: true })
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = await writeTemporary(path, text)
  try {
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

async function writeTemporary(path: string, text: string): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return temporary
}

/** Undefined when there is none; what is far too long is no file of ours. */
async function readSmall(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    return text.length > MAX_FILE_BYTES ? '' : text
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
