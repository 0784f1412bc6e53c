import type { ObjectStore } from './objects.ts'
import type { XmlTree } from './xml.ts'

const MOST_KEYS = 1000

/** One page of ListObjectsV2, or of ListObjects. */
export async function listObjects(
  store: ObjectStore,
  bucket: string,
  query: URLSearchParams,
): Promise<XmlTree> {
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const asked = Number(query.get('max-keys') ?? MOST_KEYS)
  const most = Number.isInteger(asked) && asked >= 0 ? Math.min(asked, MOST_KEYS) : MOST_KEYS
  const isSecond = query.get('list-type') === '2'
  const token = isSecond ? query.get('continuation-token') : null
  const begin = query.get(isSecond ? 'start-after' : 'marker') ?? ''
  const after = token === null ? begin : Buffer.from(token, 'base64url').toString()
  const shown = query.get('encoding-type') === 'url' ? encodeURIComponent : (text: string): string => text
  const contents: XmlTree[] = []
  const folders: string[] = []
  let last = ''
  let more = false
  for await (const [key, object] of store.list(bucket, prefix, after)) {
    const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const folder = cut === -1 ? undefined : key.slice(0, cut + delimiter.length)
    if (folder !== undefined && (folder === folders.at(-1) || (after !== '' && after.startsWith(folder)))) {
      last = key
      continue
    }
    if (contents.length + folders.length >= most) {
      more = most > 0
      break
    }
    if (folder === undefined) {
      contents.push({
        Key: shown(key),
        LastModified: object.modified,
        ETag: `"${object.etag}"`,
        Size: object.bytes,
        StorageClass: 'STANDARD',
      })
    } else folders.push(folder)
    last = key
  }
  return {
    Name: bucket,
    Prefix: shown(prefix),
    ...(delimiter !== '' && { Delimiter: shown(delimiter) }),
    MaxKeys: most,
    ...(isSecond ? { KeyCount: contents.length + folders.length } : { Marker: shown(after) }),
    IsTruncated: more,
    ...(query.has('encoding-type') && { EncodingType: 'url' }),
    ...(more &&
      (isSecond
        ? { NextContinuationToken: Buffer.from(last).toString('base64url') }
        : { NextMarker: shown(last) })),
    Contents: contents,
    CommonPrefixes: folders.map((folder) => ({ Prefix: shown(folder) })),
  }
}

/** One page of ListParts. */
export async function listParts(
  store: ObjectStore,
  bucket: string,
  key: string,
  id: string,
  query: URLSearchParams,
): Promise<XmlTree> {
  const after = Number(query.get('part-number-marker') ?? 0)
  const most = Math.min(Number(query.get('max-parts') ?? MOST_KEYS), MOST_KEYS)
  const left = (await store.parts(bucket, key, id)).filter(({ part }) => part > after)
  const shown = left.slice(0, most)
  return {
    Bucket: bucket,
    Key: key,
    UploadId: id,
    PartNumberMarker: after,
    NextPartNumberMarker: shown.at(-1)?.part ?? after,
    MaxParts: most,
    IsTruncated: left.length > shown.length,
    Part: shown.map(({ part, object }) => ({
      PartNumber: part,
      LastModified: object.modified,
      ETag: `"${object.etag}"`,
      Size: object.bytes,
    })),
  }
}
