import type { AwsConnection } from '../aws/client-options.ts'
import { createFiles } from '../files/choose.ts'
import type { Files } from '../files/files.ts'

export interface FilesPlace {
  /** How `s3://` is asked. */
  s3: AwsConnection
  /** Below it `file://` may be used; left out = nowhere. */
  filesRoot?: string | undefined
  /** The only hosts that are asked of those that are not public; left out = all. */
  privateHosts?: readonly string[]
}

/** Files from and to S3, the web and this machine. Each sort's packages are loaded when its first address comes. */
export function openFiles({ s3, filesRoot, privateHosts }: FilesPlace): Files {
  return createFiles({
    carriers: {
      s3: async () => {
        const [{ createS3Carrier }, { throughProxy }] = await Promise.all([
          import('../files/s3/s3-carrier.ts'),
          import('../aws/proxy.ts'),
        ])
        return createS3Carrier(await throughProxy(s3, 's3'))
      },
      http: async () => (await import('../files/http/http-carrier.ts')).createHttpCarrier(privateHosts),
      file: async () => (await import('../files/file/file-carrier.ts')).createFileCarrier(filesRoot),
    },
  })
}
