import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openFiles } from '../../../src/app/files.ts'
import { createLogger } from '../../../src/core/log.ts'
import { openEmbedded, type Embedded } from '../../../src/embedded/index.ts'
import type { Files } from '../../../src/files/files.ts'
import { requireEngine } from '../../support/engine.ts'
import { FileServer } from '../../support/file-server.ts'
import { hasPython } from '../../support/images.ts'
import { IMAGE, openSandbox, type Sandbox } from './sandbox.ts'

const engine = await requireEngine()
const isRunnable = engine !== undefined && (await hasPython())
const signal = new AbortController().signal

describe.skipIf(!isRunnable)('files by URL', () => {
  let sandbox: Sandbox
  let folder: string
  let embedded: Embedded
  let server: FileServer
  let files: Files

  beforeAll(async () => {
    if (engine === undefined) return
    folder = await mkdtemp(join(tmpdir(), 'code-exec-s3-'))
    const log = createLogger(() => undefined)
    embedded = await openEmbedded({ dataDir: join(folder, 'data'), log })
    const { region, accessKeyId, secretAccessKey, endpoints } = embedded.info
    const s3 = { region, credentials: { accessKeyId, secretAccessKey }, endpoint: endpoints.s3 }
    server = await FileServer.start()
    files = openFiles({ s3, privateHosts: [server.host] })
    sandbox = await openSandbox(engine)
    sandbox.engine.files = files
  })
  afterAll(async () => {
    await sandbox.close()
    files.close()
    await server[Symbol.asyncDispose]()
    await embedded.close()
    await rm(folder, { recursive: true, force: true })
    const left = (await readdir(tmpdir())).filter(
      (name) => /^opthub-runner-(files|outputs)-/.test(name) && name.includes(`_${process.pid}_`),
    )
    expect(left).toEqual([])
  })

  test('come from S3 and go back there, all bytes right', async () => {
    const big = randomBytes(7_000_000)
    await files.writeBytes('s3://opthub/in/big', big, { signal })
    server.files.set('small', Buffer.from('é'))
    const outcome = await sandbox.run({
      code: [
        'import os, shutil, hashlib',
        'data = open("/files/d/big.bin", "rb").read()',
        'print(hashlib.sha256(data).hexdigest(), open("/files/small").read(), os.getuid())',
        'os.makedirs("out/deep é/empty")',
        'open("out/deep é/big", "wb").write(data[::-1])',
        'open("out/a b#?.txt", "w").write("text")',
        'open("one", "w").write("1")',
      ].join('\n'),
      inputs: [
        { path: 'd/big.bin', url: 's3://opthub/in/big', sha256: sha256(big) },
        { path: 'small', url: server.url('small') },
      ],
      outputs: [
        { path: 'out', url: 's3://opthub/run 1/out', type: 'a/b' },
        { path: 'one', url: server.url('one?sig=x') },
      ],
    })
    const reversed = Buffer.from(big).reverse()
    expect(outcome).toMatchObject({ status: 'success', artifacts: [], artifactsSkipped: [] })
    expect(Buffer.from(outcome.stdout.bytes).toString()).toBe(`${sha256(big)} é 65534\n`)
    expect(outcome.sent?.map(({ path, bytes, url }) => [path, bytes, url])).toEqual([
      ['out/a b#?.txt', 4, 's3://opthub/run 1/out/a b#?.txt'],
      ['out/deep é/big', 7_000_000, 's3://opthub/run 1/out/deep é/big'],
      ['one', 1, server.url('one?…')],
    ])
    expect(outcome.sent?.[1]?.sha256).toBe(sha256(reversed))
    const back = await files.readBytes('s3://opthub/run 1/out/deep é/big', { signal, maxBytes: 1e9 })
    expect(Buffer.from(back).equals(reversed)).toBe(true)
    expect(server.files.get('one')?.toString()).toBe('1')
  })

  test.each<[string, object]>([
    ['python', { code: 'print(open("/files/x").read())' }],
    ['bash', { code: 'cat /files/x; echo' }],
    ['node', { code: 'console.log(require("fs").readFileSync("/files/x", "utf8"))' }],
    ['c', { code: '// cat /files/x; echo\nint main' }],
    ['own', { code: 'cat /files/x; echo' }],
    ['input', { code: 'print(open("/files/x").read())' }],
  ])('are seen by programs of %s', async (language, fields) => {
    server.files.set('x', Buffer.from('content'))
    const inputs = [{ path: 'x', url: server.url('x') }]
    const outcome = await sandbox.run({ language, ...fields, inputs })
    expect(Buffer.from(outcome.stdout.bytes).toString()).toBe('content\n')
    expect(outcome.status).toBe('success')
  })

  test('can not be written, removed or added to by the program', async () => {
    server.files.set('x', Buffer.from('content'))
    const outcome = await sandbox.run({
      code: [
        'import os',
        'for attempt in [lambda: open("/files/x", "w"), lambda: open("/files/new", "w"), lambda: os.remove("/files/x"), lambda: os.chmod("/files/x", 0o777), lambda: os.mkdir("/files/d")]:',
        '  try: attempt(); print("done")',
        '  except OSError as error: print(error.strerror)',
      ].join('\n'),
      inputs: [{ path: 'x', url: server.url('x') }],
    })
    expect(Buffer.from(outcome.stdout.bytes).toString()).toBe('Read-only file system\n'.repeat(5))
  })

  test('that a hostile program leaves are sent without links, devices and what is not its own', async () => {
    server.files.set('secret', Buffer.from('secret'))
    const outcome = await sandbox.run({
      code: [
        'import os',
        'os.makedirs("out/real")',
        'open("out/real/a", "w").write("mine")',
        'os.symlink("/etc/passwd", "out/passwd")',
        'os.symlink("/files/secret", "out/input")',
        'os.symlink("/", "out/root")',
        'os.link("out/real/a", "out/twin")',
        'os.mkfifo("out/pipe")',
        'hole = open("out/hole", "wb"); hole.truncate(15 * 1024 ** 2); hole.close()',
        'os.symlink("out/real", "folder")',
      ].join('\n'),
      inputs: [{ path: 'secret', url: server.url('secret') }],
      outputs: [
        { path: 'out', url: 's3://opthub/hostile' },
        { path: 'folder', url: 's3://opthub/folder' },
      ],
    })
    expect(outcome.status).toBe('file_error')
    const paths = outcome.sent?.map(({ path }) => path) ?? []
    // Of two names of one file one is sent: the first that the archive has.
    expect(paths.filter((path) => !['out/real/a', 'out/twin'].includes(path))).toEqual(['out/hole'])
    expect(paths).toHaveLength(2)
    const skipped = outcome.artifactsSkipped.map(({ path }) => path).sort()
    expect(skipped.filter((path) => !['out/real/a', 'out/twin'].includes(path))).toEqual(
      ['folder', 'out/input', 'out/passwd', 'out/pipe', 'out/root'].sort(),
    )
  })

  test('that are missing after a success are a file error; a failure stays what it is', async () => {
    const outputs = [{ path: 'none', url: server.url('none') }]
    expect(await sandbox.run({ outputs })).toMatchObject({
      status: 'file_error',
      artifactsSkipped: [{ path: 'none', reason: 'it is not there' }],
    })
    expect(await sandbox.run({ code: 'raise SystemExit(3)', outputs })).toMatchObject({
      status: 'runtime_error',
      exitCode: 3,
    })
  })

  test('go through an image of the job’s own, too', async () => {
    server.files.set('x', Buffer.from('in'))
    const outcome = await sandbox.run({
      image: IMAGE,
      command: ['bash', '-c', 'cat /files/x > copy'],
      inputs: [{ path: 'x', url: server.url('x') }],
      outputs: [{ path: 'copy', url: server.url('copy') }],
    })
    expect(outcome.status).toBe('success')
    expect(server.files.get('copy')?.toString()).toBe('in')
  })
})

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
