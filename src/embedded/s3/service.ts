import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Credentials } from '../guard.ts'
import { send, sendXml } from './answer.ts'
import { S3Error, s3Errors } from './errors.ts'
import { isForm } from './form.ts'
import { keptHeaders } from './headers.ts'
import { listObjects, listParts } from './listing.ts'
import type { ObjectStore } from './objects.ts'
import { unknownOperationOf } from './operations.ts'
import { placeOf, type Place } from './place.ts'
import { postObject } from './post.ts'
import { sendObject } from './reads.ts'
import { checkSignature } from './signature.ts'
import { completeUpload, putObject, readXml } from './writes.ts'
import { blocksOf, textsOf } from './xml.ts'

interface Asked extends Place {
  request: IncomingMessage
  response: ServerResponse
  method: string
  query: URLSearchParams
}

/** Answers a request, if it is signed by `credentials`. Throws S3Error before anything was sent. */
export async function handleS3(
  store: ObjectStore,
  credentials: Credentials,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { url = '/', method = '' } = request
  const { bucket, key } = placeOf(url)
  if (isForm(request) && bucket !== '' && key === '') {
    await postObject(store, bucket, request, response, credentials)
    return
  }
  checkSignature(request, credentials)
  const query = new URLSearchParams(url.split('?', 2)[1])
  const asked: Asked = { request, response, method, bucket, key, query }
  const unknown =
    bucket === '' ? undefined : unknownOperationOf(method, query, key === '' ? 'Bucket' : 'Object')
  if (unknown !== undefined) throw s3Errors.notImplemented(unknown)
  if (bucket === '') await onService(store, asked)
  else if (key === '') await onBucket(store, asked)
  else {
    await store.assertBucket(bucket)
    await onObject(store, asked)
  }
}

async function onService(store: ObjectStore, { method, response }: Asked): Promise<void> {
  if (method !== 'GET') throw s3Errors.notImplemented(`${method} of all buckets`)
  const buckets = (await store.buckets()).map(({ name, created }) => ({ Name: name, CreationDate: created }))
  sendXml(response, 'ListAllMyBucketsResult', {
    Owner: { ID: 'local', DisplayName: 'local' },
    Buckets: { Bucket: buckets },
  })
}

async function onBucket(store: ObjectStore, asked: Asked): Promise<void> {
  const { method, request, response, bucket, query } = asked
  if (method === 'PUT') {
    if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
      throw new S3Error('InvalidBucketName', 400, 'The specified bucket is not valid.')
    }
    await readXml(request)
    await store.createBucket(bucket)
    response.setHeader('location', `/${bucket}`)
    send(response, 200)
    return
  }
  await store.assertBucket(bucket)
  if (method === 'HEAD') send(response, 200)
  else if (method === 'DELETE') {
    await store.deleteBucket(bucket)
    send(response, 204)
  } else if (method === 'GET' && query.has('location')) {
    sendXml(response, 'LocationConstraint', {})
  } else if (method === 'GET') {
    sendXml(response, 'ListBucketResult', await listObjects(store, bucket, query))
  } else if (method === 'POST' && query.has('delete')) {
    const xml = await readXml(request)
    const keys = blocksOf(xml, 'Object').flatMap((block) => textsOf(block, 'Key').slice(0, 1))
    for (const key of keys) await store.remove(bucket, key)
    const isQuiet = textsOf(xml, 'Quiet')[0] === 'true'
    sendXml(response, 'DeleteResult', { Deleted: isQuiet ? [] : keys.map((Key) => ({ Key })) })
  } else throw s3Errors.notImplemented(`${method} of a bucket`)
}

async function onObject(store: ObjectStore, asked: Asked): Promise<void> {
  const { method, request, response, bucket, key, query } = asked
  const id = query.get('uploadId')
  if (method === 'GET' && id !== null) {
    sendXml(response, 'ListPartsResult', await listParts(store, bucket, key, id, query))
  } else if (method === 'GET' || method === 'HEAD') {
    await sendObject(store, bucket, key, query, request, response)
  } else if (method === 'PUT') {
    await putObject(store, asked, query, request, response)
  } else if (method === 'POST' && query.has('uploads')) {
    const UploadId = await store.begin(bucket, key, keptHeaders(request.headers))
    sendXml(response, 'InitiateMultipartUploadResult', { Bucket: bucket, Key: key, UploadId })
  } else if (method === 'POST' && id !== null) {
    await completeUpload(store, asked, id, request, response)
  } else if (method === 'DELETE') {
    await (id === null ? store.remove(bucket, key) : store.abort(bucket, key, id))
    send(response, 204)
  } else throw s3Errors.notImplemented(`${method} of an object`)
}
