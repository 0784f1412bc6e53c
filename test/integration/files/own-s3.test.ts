import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { openFiles } from '../../../src/app/files.ts'
import { createLogger } from '../../../src/core/log.ts'
import { openEmbedded } from '../../../src/embedded/index.ts'

it('moves a folder to the S3 of this machine and back', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'files-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const log = createLogger(() => undefined, 'ERROR')
  const embedded = await openEmbedded({ dataDir: join(folder, 'data'), log })
  onTestFinished(() => embedded.close())
  const { region, accessKeyId, secretAccessKey, endpoints } = embedded.info
  const credentials = { accessKeyId, secretAccessKey }
  const files = openFiles({ s3: { region, credentials, endpoint: endpoints.s3 } })
  onTestFinished(() => {
    files.close()
  })
  const big = randomBytes(12_000_000)
  await mkdir(join(folder, 'out/in é'), { recursive: true })
  await writeFile(join(folder, 'out/big'), big)
  await writeFile(join(folder, 'out/in é/a #?%41 .txt'), 'small')
  const limits = { signal: new AbortController().signal, maxBytes: 20_000_000 }
  const sent = await files.upload([{ path: 'out', url: 's3://opthub/x y', type: 'a/b' }], folder, limits)
  expect(sent.map(({ url }) => url)).toEqual(['s3://opthub/x y/big', 's3://opthub/x y/in é/a #?%41 .txt'])
  const inputs = sent.map(({ path, url, sha256 }) => ({ path: `back/${path}`, url, sha256 }))
  await files.download(inputs, folder, limits)
  expect((await readFile(join(folder, 'back/out/big'))).equals(big)).toBe(true)
  expect(await readFile(join(folder, 'back/out/in é/a #?%41 .txt'), 'utf8')).toBe('small')
  await expect(files.readBytes('s3://opthub/none', limits)).rejects.toMatchObject({ reason: 'not_found' })
})
