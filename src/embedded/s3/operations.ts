/** What S3 knows of a bucket or an object besides its content, and how its operations name it. */
const ASPECTS = new Map(
  Object.entries({
    accelerate: 'AccelerateConfiguration',
    acl: 'Acl',
    analytics: 'AnalyticsConfiguration',
    attributes: 'Attributes',
    cors: 'Cors',
    encryption: 'Encryption',
    'intelligent-tiering': 'IntelligentTieringConfiguration',
    inventory: 'InventoryConfiguration',
    'legal-hold': 'LegalHold',
    lifecycle: 'LifecycleConfiguration',
    logging: 'Logging',
    metrics: 'MetricsConfiguration',
    notification: 'NotificationConfiguration',
    'object-lock': 'LockConfiguration',
    ownershipControls: 'OwnershipControls',
    policy: 'Policy',
    policyStatus: 'PolicyStatus',
    publicAccessBlock: 'PublicAccessBlock',
    replication: 'Replication',
    requestPayment: 'RequestPayment',
    restore: 'Restore',
    retention: 'Retention',
    select: 'Content',
    tagging: 'Tagging',
    torrent: 'Torrent',
    versioning: 'Versioning',
    versions: 'Versions',
    website: 'Website',
  }),
)
const OTHER_NAMES: Readonly<Record<string, string>> = {
  GetBucketVersions: 'ListObjectVersions',
  PostObjectRestore: 'RestoreObject',
  PostObjectContent: 'SelectObjectContent',
}

/** The name of an operation that is not known here; undefined when the query speaks of nothing strange. */
export function unknownOperationOf(
  method: string,
  query: URLSearchParams,
  of: 'Bucket' | 'Object',
): string | undefined {
  const aspect = [...query.keys()].map((name) => ASPECTS.get(name)).find((found) => found !== undefined)
  if (aspect !== undefined) {
    const name = `${method.charAt(0)}${method.slice(1).toLowerCase()}${of}${aspect}`
    return OTHER_NAMES[name] ?? name
  }
  if (of === 'Bucket' && method === 'GET' && query.has('uploads')) return 'ListMultipartUploads'
  const version = query.get('versionId') ?? 'null'
  return version === 'null' ? undefined : `${method} of a version`
}
