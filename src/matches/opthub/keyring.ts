import type { AsyncEntry } from '@napi-rs/keyring'

/** Where the platform keeps small secrets, encrypted by the user's own login. Each call throws when it can't. */
export interface Keyring {
  get(name: string): Promise<string | undefined>
  set(name: string, secret: string): Promise<void>
  remove(name: string): Promise<void>
}

const SERVICE = 'opthub-runner'
/** Some keyrings ask the user first. */
const TIMEOUT_MS = 20_000

/** The keyring of macOS, Windows or a Linux desktop; undefined when this installation has no way to it. */
export async function openPlatformKeyring(): Promise<Keyring | undefined> {
  let Entry: typeof AsyncEntry
  try {
    Entry = (await import('@napi-rs/keyring')).AsyncEntry
  } catch {
    return undefined
  }
  // Without the pin Linux would fall back to the kernel's keyring, which is empty after a restart.
  const entry = (name: string) => new Entry(SERVICE, name, { linux: { store: 'secret-service' } })
  return {
    get: async (name) => (await inTime(() => entry(name).getPassword())) ?? undefined,
    set: (name, secret) => inTime(() => entry(name).setPassword(secret)),
    remove: async (name) => {
      await inTime(() => entry(name).deleteCredential())
    },
  }
}

async function inTime<T>(work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`the keyring did not answer within ${TIMEOUT_MS / 1000} s`))
    }, TIMEOUT_MS)
  })
  try {
    return await Promise.race([work(), late])
  } finally {
    clearTimeout(timer)
  }
}
