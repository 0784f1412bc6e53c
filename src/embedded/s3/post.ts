import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Credentials } from '../guard.ts'
import { send, sendXml } from './answer.ts'
import { checked } from './body.ts'
import { S3Error, s3Errors } from './errors.ts'
import { readForm } from './form.ts'
import { keptHeaders } from './headers.ts'
import type { ObjectStore, StoredObject } from './objects.ts'
import { checkPolicy, type Bounds } from './policy.ts'

/** Stores the file of a form, if the policy in the form allows it. Throws S3Error. */
export async function postObject(
  store: ObjectStore,
  bucket: string,
  request: IncomingMessage,
  response: ServerResponse,
  credentials: Credentials,
): Promise<void> {
  const { fields, filename, file } = await readForm(request)
  // Browsers of old tell the whole path.
  const name = filename.replace(/^.*[/\\]/s, '')
  for (const [field, value] of fields)
    fields.set(
      field,
      value.replaceAll('${filename}', () => name),
    )
  const bounds = checkPolicy(fields, bucket, credentials)
  await store.assertBucket(bucket)
  const key = fields.get('key') ?? ''
  if (key === '') throw s3Errors.invalidArgument("Bucket POST must contain a field named 'key'.")
  const content = bounded(checked(file, fields), bounds)
  const object = await store.put(bucket, key, content, keptHeaders(Object.fromEntries(fields)))
  answer(request, response, fields, bucket, key, object)
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  fields: ReadonlyMap<string, string>,
  Bucket: string,
  Key: string,
  object: StoredObject,
): void {
  const ETag = `"${object.etag}"`
  const path = Key.split('/').map(encodeURIComponent).join('/')
  const Location = `http://${request.headers.host ?? ''}/${Bucket}/${path}`
  const redirect = fields.get('success_action_redirect') ?? fields.get('redirect')
  response.setHeader('etag', ETag)
  if (redirect !== undefined && URL.canParse(redirect)) {
    const url = new URL(redirect)
    for (const [name, value] of Object.entries({ bucket: Bucket, key: Key, etag: ETag })) {
      url.searchParams.append(name, value)
    }
    response.setHeader('location', url.href)
    send(response, 303)
    return
  }
  response.setHeader('location', Location)
  const status = fields.get('success_action_status')
  if (status === '201') sendXml(response, 'PostResponse', { Location, Bucket, Key, ETag }, 201)
  else send(response, status === '200' ? 200 : 204)
}

async function* bounded(source: AsyncIterable<Buffer>, { least, most }: Bounds): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const chunk of source) {
    bytes += chunk.length
    if (bytes > most) {
      throw new S3Error('EntityTooLarge', 400, 'Your proposed upload exceeds the maximum allowed size', {
        ProposedSize: bytes,
        MaxSizeAllowed: most,
      })
    }
    yield chunk
  }
  if (bytes < least) {
    throw new S3Error(
      'EntityTooSmall',
      400,
      'Your proposed upload is smaller than the minimum allowed size',
      {
        ProposedSize: bytes,
        MinSizeAllowed: least,
      },
    )
  }
}
