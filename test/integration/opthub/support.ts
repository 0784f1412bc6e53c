import { setMaxListeners } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../../src/core/clock.ts'
import { createLogger, type LogRecord } from '../../../src/core/log.ts'
import {
  connectOptHub,
  type Account,
  type LoginOptions,
  type OptHub,
} from '../../../src/matches/opthub/opthub.ts'
import type { Role } from '../../../src/matches/opthub/read-match.ts'
import { createLoginStore, type LoginStore } from '../../../src/matches/opthub/token-store.ts'
import { OptHubStandIn } from '../../support/opthub-stand-in.ts'

export const never = new AbortController().signal
setMaxListeners(0, never)
export const ALICE = { username: 'alice', password: 'correct horse', remember: false }

interface OpenOptions {
  account?: Account
  role?: Role
  clock?: Clock
  ttlSeconds?: number
}

/** A stand-in, a data folder, and what was logged. */
export class Bench implements AsyncDisposable {
  readonly records: LogRecord[] = []
  readonly standIn: OptHubStandIn
  readonly dataDir: string
  readonly store: LoginStore
  readonly #opened: OptHub[] = []

  private constructor(standIn: OptHubStandIn, dataDir: string) {
    this.standIn = standIn
    this.dataDir = dataDir
    // The platform's keyring is none of a test's business.
    this.store = createLoginStore({
      dataDir,
      endpoints: standIn.endpoints,
      keyring: () => Promise.resolve(undefined),
    })
  }

  static async create(): Promise<Bench> {
    return new Bench(await OptHubStandIn.start(), await mkdtemp(join(tmpdir(), 'opthub-login-')))
  }

  async open(options: OpenOptions = {}): Promise<OptHub> {
    const { account = ALICE, role = 'problem', clock, ttlSeconds = 60 } = options
    const opthub = await connectOptHub(
      {
        endpoints: this.standIn.endpoints,
        account,
        role,
        ttlSeconds,
        dataDir: this.dataDir,
        log: createLogger((record) => this.records.push(record), 'DEBUG'),
        ...(clock === undefined ? {} : { clock }),
      },
      never,
    )
    this.#opened.push(opthub)
    return opthub
  }

  /** What login, logout and whoami are called with. */
  get place(): LoginOptions {
    return { endpoints: this.standIn.endpoints, dataDir: this.dataDir, store: this.store }
  }

  /** Messages of a level so far. */
  logged(level: string): string[] {
    return this.records.filter((record) => record.level === level).map((record) => record.msg)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#opened.map((opthub) => opthub.close()))
    await rm(this.dataDir, { recursive: true, force: true })
    await this.standIn[Symbol.asyncDispose]()
  }
}

/** What a promise rejects with. */
export async function thrownBy(work: Promise<unknown>): Promise<unknown> {
  try {
    await work
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
