import { Readable } from 'node:stream'
import { GetObjectCommand, PutObjectCommand, S3Client, UploadPartCommand } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { awsClientOptions, type AwsConnection } from '../../aws/client-options.ts'
import { FileError, type Carrier, type RemoteRequest } from '../files.ts'
import { statusOf, toFileFault } from './errors.ts'

const MOST_PARTS = 10_000
const PART_BYTES = 5 * 1024 ** 2
/** Parts of one file that are sent at the same time; each is held in memory. */
const PARTS_AT_ONCE = 2
/** A part may take so long on a slow line. */
const REQUEST_TIMEOUT_MS = 300_000
const SILENCE_MS = 60_000

/** Buckets of S3, or of another server that speaks its protocol. */
export function createS3Carrier(connection: AwsConnection): Carrier {
  const options = awsClientOptions(connection)
  const isOther = connection.endpoint !== undefined
  const client = new S3Client({
    ...options,
    requestHandler: {
      ...options.requestHandler,
      requestTimeout: REQUEST_TIMEOUT_MS,
      socketTimeout: SILENCE_MS,
    },
    // Other servers know buckets by their paths, and not the newer checksums.
    forcePathStyle: isOther,
    followRegionRedirects: !isOther,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })

  const carrier: Carrier = {
    assertUsable: (url) => {
      addressOf(url)
    },

    async read({ url }, { offset, version }, signal) {
      const again = offset > 0 ? { Range: `bytes=${offset}-`, IfMatch: version } : {}
      try {
        const command = new GetObjectCommand({ ...addressOf(url), ...again })
        const {
          Body,
          ContentLength,
          ContentRange,
          ETag = '',
        } = await client.send(command, {
          abortSignal: signal,
        })
        if (!(Body instanceof Readable)) throw new Error('the answer has no body')
        // A server that knows no ranges begins anew.
        const start = offset > 0 && ContentRange?.startsWith(`bytes ${offset}-`) ? offset : 0
        const total = ContentLength === undefined ? undefined : start + ContentLength
        return { offset: start, total, version: ETag, body: bodyOf(Body, url, signal) }
      } catch (error) {
        signal.throwIfAborted()
        // It is another by now, or shorter.
        if (offset > 0 && [412, 416].includes(statusOf(error))) {
          return await carrier.read({ url }, { offset: 0, version: '' }, signal)
        }
        throw toFileFault(error, url)
      }
    },

    async write({ url }, content, signal) {
      const target = {
        ...addressOf(url),
        ...(content.type === undefined ? {} : { ContentType: content.type }),
      }
      try {
        if (content.bytes <= PART_BYTES) await sendWhole()
        else await sendParts()
      } catch (error) {
        signal.throwIfAborted()
        throw toFileFault(error, url)
      }

      async function sendWhole(): Promise<void> {
        const parts: Uint8Array[] = []
        for await (const chunk of content.open()) parts.push(chunk)
        const Body = Buffer.concat(parts)
        await client.send(new PutObjectCommand({ ...target, Body }), { abortSignal: signal })
      }

      async function sendParts(): Promise<void> {
        const body = Readable.from(content.open(), { objectMode: false, highWaterMark: 1024 ** 2 })
        const upload = new Upload({
          client: withStop(client, signal),
          params: { ...target, Body: body, ContentLength: content.bytes },
          partSize: Math.max(PART_BYTES, Math.ceil(content.bytes / MOST_PARTS)),
          queueSize: PARTS_AT_ONCE,
        })
        await finish(upload, body, signal)
      }
    },

    below({ url, ...rest }, path): RemoteRequest {
      return { ...rest, url: `${url.replace(/\/$/, '')}/${path}` }
    },

    close() {
      client.destroy()
    },
  }
  return carrier
}

/** The same client, whose parts end with the signal: what makes and removes an upload is always let through. */
function withStop(client: S3Client, abortSignal: AbortSignal): S3Client {
  const send = (command: PutObjectCommand): unknown =>
    client.send(command, (command as object) instanceof UploadPartCommand ? { abortSignal } : {})
  return Object.create(client, { send: { value: send } }) as S3Client
}

/** Ends an upload when told to; its parts are removed before this returns. */
async function finish(upload: Upload, body: Readable, signal: AbortSignal): Promise<void> {
  const stop = (): void => {
    // The feeder fails, so that the upload itself ends its parts, and then removes them.
    body.destroy(new Error('stopped'))
  }
  signal.addEventListener('abort', stop, { once: true })
  try {
    await upload.done()
  } finally {
    signal.removeEventListener('abort', stop)
    body.destroy()
  }
}

/** The key is taken as it is: nothing in it is encoded. */
function addressOf(url: string): { Bucket: string; Key: string } {
  const [, Bucket, Key] = /^s3:\/\/([^/\s]+)\/(.+)$/is.exec(url) ?? []
  if (Bucket === undefined || Key === undefined) {
    throw new FileError('bad_url', '', `${url} is no address of S3: write s3://bucket/key`)
  }
  return { Bucket, Key }
}

async function* bodyOf(body: Readable, url: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) yield chunk
  } catch (error) {
    signal.throwIfAborted()
    throw toFileFault(error, url)
  }
}
