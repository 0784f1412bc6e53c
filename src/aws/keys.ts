/** An access key and its secret. */
export interface AwsKeys {
  accessKeyId: string
  secretAccessKey: string
}

/** Asked for again before a request when the last answer is older. */
const REREAD_MS = 30_000
/** The SDK (memoizeIdentityProvider of @smithy/core) asks again so long before the end that it was told. */
const SDK_MARGIN_MS = 300_000

/**
 * Keys that are read again while they are used, so that they can be changed under a runner that works for weeks. `read`
 * says what they are now; when it can't (a file that is just being written), the last ones stay.
 */
export function followKeys(
  first: AwsKeys,
  read: () => Promise<AwsKeys | undefined>,
  rereadMs: number = REREAD_MS,
): () => Promise<AwsKeys & { expiration: Date }> {
  let keys = first
  let isFirst = true
  return async () => {
    if (isFirst) isFirst = false
    else keys = (await read().catch(() => undefined)) ?? keys
    return { ...keys, expiration: new Date(Date.now() + SDK_MARGIN_MS + rereadMs) }
  }
}
