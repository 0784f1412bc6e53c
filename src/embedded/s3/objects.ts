import { createHash, randomUUID } from 'node:crypto'
import { withPrefix, type Database, type KeyRange, type Write } from '../database.ts'
import { createSerialiser, type Serialiser } from '../serialiser.ts'
import { ByteFiles, type OpenFile } from './byte-files.ts'
import { S3Error, s3Errors } from './errors.ts'

/** What is known of an object; its bytes lie in a file of their own. */
export interface StoredObject {
  /** Name of that file: never made from the key. */
  file: string
  bytes: number
  /** Without quotes. */
  etag: string
  modified: string
  /** Sent again with each answer: content-type, x-amz-meta-… */
  headers: Record<string, string>
  /** The upload in parts that it came from. */
  upload?: string
}

/** Throws unless a new object may take the place of `old`. */
export type Condition = (old: StoredObject | undefined) => void

interface Upload {
  headers: Record<string, string>
}

const OBJECTS = 's3-objects~'
const BUCKETS = 's3-buckets~'
const UPLOADS = 's3-uploads~'
const PARTS = 's3-parts~'

/**
 * Buckets and objects. Bytes go to a new file; then one write of the database lets the key mean it, so that nobody
 * ever sees half an object. Files that no key means are removed when the store is opened.
 */
export class ObjectStore {
  readonly #database: Database
  readonly #files: ByteFiles
  /** Each change looks at what is there and writes; none comes between. */
  readonly #inTurn: Serialiser = createSerialiser()

  private constructor(database: Database, files: ByteFiles) {
    this.#database = database
    this.#files = files
  }

  static async open(database: Database, folder: string): Promise<ObjectStore> {
    const known = new Set<string>()
    for (const prefix of [OBJECTS, PARTS]) {
      for await (const value of database.values(withPrefix(prefix))) known.add((value as StoredObject).file)
    }
    return new ObjectStore(database, await ByteFiles.open(folder, known))
  }

  /** Ends what is being written; to be called before the database closes. */
  async close(): Promise<void> {
    await this.#files.close()
    await this.#inTurn(() => Promise.resolve())
  }

  async createBucket(bucket: string): Promise<void> {
    await this.#inTurn(async () => {
      if ((await this.#database.get(BUCKETS + bucket)) !== undefined) return
      const value = { created: new Date().toISOString() }
      await this.#database.write([{ type: 'put', key: BUCKETS + bucket, value }])
    })
  }

  async deleteBucket(bucket: string): Promise<void> {
    await this.#inTurn(async () => {
      for await (const [key] of this.list(bucket, '', '')) {
        throw new S3Error('BucketNotEmpty', 409, `The bucket you tried to delete is not empty: ${key}`)
      }
      await this.#database.write([{ type: 'del', key: BUCKETS + bucket }])
    })
  }

  async buckets(): Promise<{ name: string; created: string }[]> {
    const found: { name: string; created: string }[] = []
    for await (const [key, value] of this.#database.entries(withPrefix(BUCKETS))) {
      found.push({ name: key.slice(BUCKETS.length), created: (value as { created: string }).created })
    }
    return found
  }

  async assertBucket(bucket: string): Promise<void> {
    if ((await this.#database.get(BUCKETS + bucket)) === undefined) throw s3Errors.noSuchBucket(bucket)
  }

  async find(bucket: string, key: string): Promise<StoredObject | undefined> {
    return (await this.#database.get(objectKey(bucket, key))) as StoredObject | undefined
  }

  /** The object with its bytes, which stay readable whatever becomes of the key; to be closed. */
  async open(bucket: string, key: string): Promise<{ object: StoredObject; content: OpenFile }> {
    for (let last: string | undefined; ;) {
      const object = await this.find(bucket, key)
      if (object === undefined) throw s3Errors.noSuchKey(key)
      const content = await this.#files.read(object.file)
      if (content !== undefined) return { object, content }
      // Replaced between the two looks, else its bytes are lost.
      if (object.file === last) throw new Error(`the bytes of ${bucket}/${key} are gone`)
      last = object.file
    }
  }

  async remove(bucket: string, key: string): Promise<void> {
    await this.#inTurn(async () => {
      const old = await this.find(bucket, key)
      if (old === undefined) return
      await this.#database.write([{ type: 'del', key: objectKey(bucket, key) }])
      await this.#files.drop([old.file])
    })
  }

  /** Stores what `content` gives, once it came to its end without an error. */
  async put(
    bucket: string,
    key: string,
    content: AsyncIterable<Buffer>,
    headers: Record<string, string>,
    condition: Condition = () => undefined,
  ): Promise<StoredObject> {
    condition(await this.find(bucket, key))
    const kept = await this.#files.write(content)
    const object = { ...kept, modified: new Date().toISOString(), headers }
    await this.#commit(object, () => this.#replace(bucket, key, object, condition))
    return object
  }

  /** Keys in the order of their UTF-8 bytes. */
  async *list(bucket: string, prefix: string, after: string): AsyncGenerator<[string, StoredObject]> {
    const base = objectKey(bucket, '')
    const range: KeyRange = { gte: base + prefix, lt: `${base}${prefix}\u{10ffff}` }
    if (after >= prefix && after !== '') {
      delete range.gte
      range.gt = base + after
    }
    for await (const [key, value] of this.#database.entries(range)) {
      yield [key.slice(base.length), value as StoredObject]
    }
  }

  async begin(bucket: string, key: string, headers: Record<string, string>): Promise<string> {
    const id = randomUUID()
    await this.#database.write([{ type: 'put', key: uploadKey(bucket, key, id), value: { headers } }])
    return id
  }

  async putPart(
    bucket: string,
    key: string,
    id: string,
    part: number,
    content: AsyncIterable<Buffer>,
  ): Promise<StoredObject> {
    await this.#upload(bucket, key, id)
    const name = partKey(id, part)
    const object = { ...(await this.#files.write(content)), modified: new Date().toISOString(), headers: {} }
    await this.#commit(object, async () => {
      await this.#upload(bucket, key, id)
      const old = (await this.#database.get(name)) as StoredObject | undefined
      await this.#database.write([{ type: 'put', key: name, value: object }])
      if (old !== undefined) await this.#files.drop([old.file])
    })
    return object
  }

  /** In their order. */
  async parts(bucket: string, key: string, id: string): Promise<{ part: number; object: StoredObject }[]> {
    await this.#upload(bucket, key, id)
    return (await this.#partsOf(id)).map(([name, object]) => ({ part: Number(name.slice(-5)), object }))
  }

  async complete(
    bucket: string,
    key: string,
    id: string,
    wanted: readonly { part: number; etag: string }[],
    condition: Condition,
  ): Promise<StoredObject> {
    const done = await this.find(bucket, key)
    // Asked again by a client that did not get its answer.
    if (done?.upload === id) return done
    condition(done)
    const { headers } = await this.#upload(bucket, key, id)
    const parts = await this.#wanted(id, wanted)
    const md5 = createHash('md5')
    for (const { etag } of parts) md5.update(Buffer.from(etag, 'hex'))
    const etag = `${md5.digest('hex')}-${parts.length}`
    const { file, bytes } = await this.#files.join(parts.map((part) => part.file))
    const object = { file, bytes, etag, modified: new Date().toISOString(), headers, upload: id }
    await this.#commit(object, async () => {
      await this.#upload(bucket, key, id)
      const left = await this.#partsOf(id)
      const gone = [uploadKey(bucket, key, id), ...left.map(([name]) => name)]
      const more = gone.map((name): Write => ({ type: 'del', key: name }))
      await this.#replace(bucket, key, object, condition, more)
      await this.#files.drop(left.map(([, part]) => part.file))
    })
    return object
  }

  async abort(bucket: string, key: string, id: string): Promise<void> {
    await this.#inTurn(async () => {
      await this.#upload(bucket, key, id)
      const parts = await this.#partsOf(id)
      const gone = [uploadKey(bucket, key, id), ...parts.map(([name]) => name)]
      await this.#database.write(gone.map((name) => ({ type: 'del', key: name })))
      await this.#files.drop(parts.map(([, part]) => part.file))
    })
  }

  async #replace(
    bucket: string,
    key: string,
    object: StoredObject,
    condition: Condition,
    more: readonly Write[] = [],
  ): Promise<void> {
    await this.assertBucket(bucket)
    const old = await this.find(bucket, key)
    condition(old)
    await this.#database.write([{ type: 'put', key: objectKey(bucket, key), value: object }, ...more])
    if (old !== undefined) await this.#files.drop([old.file])
  }

  async #commit(object: StoredObject, change: () => Promise<void>): Promise<void> {
    try {
      await this.#inTurn(change)
    } catch (error) {
      // After a failure of the disk nobody knows what was written: the next to open the store looks.
      if (error instanceof S3Error) await this.#files.drop([object.file])
      throw error
    }
  }

  async #upload(bucket: string, key: string, id: string): Promise<Upload> {
    const upload = (await this.#database.get(uploadKey(bucket, key, id))) as Upload | undefined
    if (upload === undefined) throw s3Errors.noSuchUpload()
    return upload
  }

  async #partsOf(id: string): Promise<[string, StoredObject][]> {
    const found: [string, StoredObject][] = []
    for await (const [name, value] of this.#database.entries(withPrefix(`${PARTS}${id}~`))) {
      found.push([name, value as StoredObject])
    }
    return found
  }

  async #wanted(id: string, wanted: readonly { part: number; etag: string }[]): Promise<StoredObject[]> {
    const found = await this.#database.getMany(wanted.map(({ part }) => partKey(id, part)))
    return (found as (StoredObject | undefined)[]).map((part, index) => {
      if (part === undefined || part.etag !== wanted[index]?.etag) throw s3Errors.invalidPart()
      return part
    })
  }
}

function objectKey(bucket: string, key: string): string {
  return `${OBJECTS}${bucket}/${key}`
}

function uploadKey(bucket: string, key: string, id: string): string {
  return `${UPLOADS}${id}~${bucket}/${key}`
}

function partKey(id: string, part: number): string {
  return `${PARTS}${id}~${String(part).padStart(5, '0')}`
}
