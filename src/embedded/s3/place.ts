import { S3Error } from './errors.ts'

/** Where an object is; the key is '' for a bucket, and both for the service. */
export interface Place {
  bucket: string
  key: string
}

/** What a path speaks of; a query behind it is left away. Throws S3Error. */
export function placeOf(url: string): Place {
  const [, bucket = '', key = ''] = /^\/([^/?]*)\/?([^?]*)/.exec(url) ?? []
  try {
    return { bucket: decodeURIComponent(bucket), key: decodeURIComponent(key) }
  } catch {
    throw new S3Error('InvalidURI', 400, "Couldn't parse the specified URI.")
  }
}
