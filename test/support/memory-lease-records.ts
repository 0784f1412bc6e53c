import type { Fence, LeaseRecord, LeaseRecords } from '../../src/core/lease-record.ts'

/** Lease records in memory; passed in where the wire doesn't matter. */
export class MemoryLeaseRecords implements LeaseRecords {
  readonly records = new Map<string, LeaseRecord>()
  reads = 0
  readonly #holdSeconds: number

  constructor(holdSeconds = 60) {
    this.#holdSeconds = holdSeconds
  }

  read(job: string): Promise<LeaseRecord | undefined> {
    this.reads += 1
    return Promise.resolve(this.records.get(job))
  }

  create(job: string, token: string): Promise<boolean> {
    if (this.records.has(job)) return Promise.resolve(false)
    this.records.set(job, { token, beat: 0, guard: 0, holdSeconds: this.#holdSeconds })
    return Promise.resolve(true)
  }

  beat(job: string, token: string): Promise<boolean> {
    return this.#change(job, token, (record) => ({ ...record, beat: record.beat + 1 }))
  }

  setGuard(job: string, token: string, guard: number): Promise<boolean> {
    return this.#change(job, token, (record) => ({ ...record, guard }))
  }

  take(job: string, seen: LeaseRecord, token: string): Promise<boolean> {
    return this.#change(job, seen.token, (record) =>
      record.beat === seen.beat ? { ...record, token, beat: record.beat + 1, guard: 0 } : undefined,
    )
  }

  remove(job: string, token: string): Promise<boolean> {
    return Promise.resolve(this.records.get(job)?.token === token && this.records.delete(job))
  }

  /** What a store does with a fence: whether a result may be written; a record of its own goes with it. */
  pass({ job, token }: Fence): boolean {
    if (token === undefined) return !this.records.has(job)
    return this.records.get(job)?.token === token && this.records.delete(job)
  }

  #change(
    job: string,
    token: string,
    change: (record: LeaseRecord) => LeaseRecord | undefined,
  ): Promise<boolean> {
    const record = this.records.get(job)
    const next = record?.token === token ? change(record) : undefined
    if (next !== undefined) this.records.set(job, next)
    return Promise.resolve(next !== undefined)
  }
}
