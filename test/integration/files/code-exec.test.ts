import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openFiles } from '../../../src/app/files.ts'
import { RetryableError, UnfitError } from '../../../src/core/errors.ts'
import { toPlain } from '../../../src/core/json.ts'
import { createFiles } from '../../../src/files/choose.ts'
import { createHttpCarrier } from '../../../src/files/http/http-carrier.ts'
import { requestCancel } from '../../../src/kinds/cancel.ts'
import { codeExecKey, FINAL_STATUSES } from '../../../src/records/code-exec.ts'
import { FileServer } from '../../support/file-server.ts'
import type { Script } from '../../support/scripted-executor.ts'
import { createWorld, type World } from '../../unit/kinds/code-exec/harness.ts'

const run = promisify(execFile)

let folder: string
let server: FileServer
/** What the mounted files were while the program ran. */
let seen: Record<string, { text: string; mode: number }>
let exitCode: number
const script: Script = async (_input, _environment, spec) => {
  for (const { source, target, readOnly } of spec.mounts ?? []) {
    if (target !== '/files') continue
    expect(readOnly).toBe(true)
    for (const path of await readdir(source, { recursive: true })) {
      const found = await stat(join(source, path))
      if (found.isDirectory()) expect(found.mode & 0o777).toBe(0o755)
      else seen[path] = { text: await readFile(join(source, path), 'utf8'), mode: found.mode & 0o777 }
    }
  }
  return { stdout: 'ran\n', exitCode }
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'code-exec-files-'))
  server = await FileServer.start()
  seen = {}
  exitCode = 0
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

function itemOf(world: World): Record<string, unknown> {
  return Object.fromEntries(Object.entries(world.item() ?? {}).map(([name, value]) => [name, toPlain(value)]))
}

/** A world whose programs leave what is in `folder`. */
async function leaving(...settings: Parameters<typeof createWorld>[1][]): Promise<World> {
  const world = createWorld({ py: script }, settings[0])
  const { stdout } = await run('tar', ['-C', folder, '-cf', '-', '.'], {
    encoding: 'buffer',
    maxBuffer: 64 * 1024 ** 2,
  })
  world.archive = stdout
  return world
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true })
  await writeFile(join(folder, path), text)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Those of this process. */
async function ownFolders(): Promise<string[]> {
  return (await readdir(tmpdir())).filter(
    (name) => /^opthub-runner-(files|outputs)-/.test(name) && name.includes(`_${process.pid}_`),
  )
}

describe('inputs', () => {
  it('are there, readable and no more, while the program runs', async () => {
    const before = await ownFolders()
    server.files.set('a', Buffer.from('one'))
    server.files.set('b', Buffer.from('two'))
    const world = createWorld({ py: script })
    const old = process.umask(0o077)
    try {
      await world.deliver({
        inputs: [
          { path: 'data/a b.csv', url: server.url('a?sig=secret'), sha256: sha256('one') },
          { path: 'b', url: server.url('b') },
        ],
      })
    } finally {
      process.umask(old)
    }
    expect(itemOf(world)).toMatchObject({ Status: 'success', Stdout: 'ran\n', Sandbox: { Start: 'cold' } })
    expect(seen).toEqual({ 'data/a b.csv': { text: 'one', mode: 0o644 }, b: { text: 'two', mode: 0o644 } })
    expect(await ownFolders()).toEqual(before)
  })

  it.each<[string, { path: string; url: string; sha256?: string }, RegExp]>([
    ['is not there', { path: 'x', url: '/none?sig=topsecret' }, /^inputs: "x": .*answered 404/],
    ['has another checksum', { path: 'x', url: '/a', sha256: '0'.repeat(64) }, /^inputs: .*"x"/],
    ['is too large', { path: 'x', url: '/large' }, /^inputs: .*1048576 bytes/],
    ['has no address', { path: 'x', url: 'ftp://host/x' }, /^inputs, "x": .*must begin with s3:/],
    ['is a file of this machine', { path: 'x', url: 'file:///etc/passwd' }, /^inputs, "x": .*file/],
    ['is the metadata of a cloud', { path: 'x', url: 'http://169.254.169.254/x' }, /never asked/],
  ])('that one of them %s rejects the job, and nothing runs', async (_, { url, ...input }, problem) => {
    const before = await ownFolders()
    server.files.set('a', Buffer.from('one'))
    server.files.set('large', Buffer.alloc(1024 ** 2 + 1))
    const world = createWorld({ py: script })
    const address = url.startsWith('/') ? server.url(url.slice(1)) : url
    expect(await world.deliver({ inputs: [{ ...input, url: address }] })).toBe('succeeded')
    const item = itemOf(world)
    expect(item['Status']).toBe('rejected')
    expect(item['ErrorMessage']).toMatch(problem)
    expect(JSON.stringify(item)).not.toContain('topsecret')
    expect(world.executor.started).toEqual([])
    expect(await ownFolders()).toEqual(before)
  })

  it('of private hosts are not fetched unless the config names them', async () => {
    server.files.set('a', Buffer.from('one'))
    const inputs = [{ path: 'a', url: server.url('a') }]
    const world = createWorld({ py: script })
    world.services.files = openFiles({ s3: { region: 'us-east-1' }, privateHosts: ['localhost:1'] })
    await world.deliver({ inputs })
    expect(itemOf(world)['ErrorMessage']).toMatch(/^inputs, "a": .*not in the public internet/)
    const port = server.host.split(':')[1] ?? ''
    await world.deliver({ id: 'b', inputs: [{ path: 'a', url: `http://localhost:${port}/a` }] })
    expect(toPlain(world.item('b')?.['ErrorMessage'] ?? null)).toMatch(/not in the public internet/)
    expect(server.requests).toEqual([])
    world.services.files = openFiles({ s3: { region: 'us-east-1' }, privateHosts: [server.host] })
    await world.deliver({ id: 'c', inputs })
    expect(world.item('c')?.['Status']).toBe('success')
  })

  it('of a host that leads to a private one are not fetched', async () => {
    await using other = await FileServer.start()
    other.files.set('a', Buffer.from('secret'))
    server.fault = (_, response) => {
      response.writeHead(302, { Location: other.url('a') }).end()
      return true
    }
    const world = createWorld({ py: script })
    world.services.files = openFiles({ s3: { region: 'us-east-1' }, privateHosts: [server.host] })
    await world.deliver({ inputs: [{ path: 'a', url: server.url('a') }] })
    expect(itemOf(world)).toMatchObject({ Status: 'rejected' })
    expect(other.requests).toEqual([])
  })

  it('that can not be had now put the job back', async () => {
    const web = (): Promise<ReturnType<typeof createHttpCarrier>> => Promise.resolve(createHttpCarrier())
    const world = createWorld({ py: script })
    const carriers = { http: web, s3: web, file: web }
    world.services.files = createFiles({ carriers, patience: { patienceMs: 20, firstPauseMs: 5 } })
    server.fault = (_, response) => {
      response.writeHead(503).end()
      return true
    }
    const job = world.deliver({ inputs: [{ path: 'a', url: server.url('a') }] })
    await expect(job).rejects.toBeInstanceOf(RetryableError)
    await expect(job).rejects.toMatchObject({ surrounding: 'files' })
    expect(itemOf(world)['Status']).toBe('running')
  })

  it('that the engine does not see send the job to another runner', async () => {
    server.files.set('a', Buffer.from('one'))
    const world = createWorld({ py: script })
    const start = world.executor.start.bind(world.executor)
    world.executor.start = async (spec, ...rest) => {
      const [mount] = spec.mounts ?? []
      if (mount === undefined) return await start(spec, ...rest)
      throw new RetryableError('engine', `bind source path does not exist: ${mount.source}`)
    }
    // Limits of its own are not to blame.
    const job = world.deliver({ inputs: [{ path: 'a', url: server.url('a') }], limits: { pids: 5 } })
    await expect(job).rejects.toBeInstanceOf(UnfitError)
  })

  it('of a job that is cancelled are fetched no further', async () => {
    const before = await ownFolders()
    const world = createWorld({ py: script })
    server.fault = () => {
      // It never answers.
      void requestCancel(world.store, codeExecKey('a'), FINAL_STATUSES)
      return true
    }
    await world.deliver({ inputs: [{ path: 'a', url: server.url('a') }] })
    expect(itemOf(world)['Status']).toBe('canceled')
    expect(world.executor.started).toEqual([])
    expect(await ownFolders()).toEqual(before)
  })
})

describe('outputs', () => {
  it('are sent after the end, and listed with their URLs', async () => {
    const before = await ownFolders()
    await put('out/model.bin', 'model')
    await put('out/deep/log é.txt', 'log')
    await put('report.txt', 'report')
    await put('other', 'not wanted')
    const root = join(folder, '..', `${folder.split('/').at(-1) ?? ''}-root`)
    await mkdir(root)
    try {
      const world = await leaving()
      world.services.files = openFiles({ s3: { region: 'us-east-1' }, filesRoot: root })
      await world.deliver({
        outputs: [
          { path: 'out', url: `file://${root}/results` },
          { path: 'report.txt', url: server.url('r?sig=topsecret'), type: 'text/plain' },
        ],
        artifacts: ['report.txt', 'other', '*.txt'],
      })
      const item = itemOf(world)
      expect(item).toMatchObject({ Status: 'success', ArtifactsSkipped: [] })
      expect(item['ArtifactsUnlisted']).toBeUndefined()
      expect(item['Artifacts']).toEqual([
        expect.objectContaining({ Path: 'other', Content: 'not wanted', Url: null }),
        expect.objectContaining({ Path: 'out/deep/log é.txt', Bytes: 3, Sha256: sha256('log') }),
        expect.objectContaining({ Path: 'out/model.bin', Bytes: 5, Sha256: sha256('model') }),
        { Path: 'report.txt', Bytes: 6, Sha256: sha256('report'), Url: server.url('r?…') },
      ])
      expect(server.files.get('r')?.toString()).toBe('report')
      expect(await readFile(join(root, 'results/deep/log é.txt'), 'utf8')).toBe('log')
      expect(await ownFolders()).toEqual(before)
    } finally {
      await rm(root, { recursive: true, force: true })
    }
  })

  it('that are missing, no files, or refused at the far end are a file error', async () => {
    await put('good', 'good')
    await put('refused', 'x')
    await put('out/a', 'a')
    await put('target', 'secret')
    await symlink('/etc/passwd', join(folder, 'link'))
    await symlink('out', join(folder, 'folder-link'))
    await link(join(folder, 'target'), join(folder, 'twin'))
    server.fault = (request, response) => {
      if (!request.url?.startsWith('/refused')) return false
      response.writeHead(403).end()
      return true
    }
    const world = await leaving()
    const paths = ['good', 'refused', 'none', 'link', 'folder-link', 'out']
    await world.deliver({ outputs: paths.map((path) => ({ path, url: server.url(path) })) })
    const item = itemOf(world)
    expect(item['Status']).toBe('file_error')
    expect(item['Artifacts']).toEqual([
      { Path: 'good', Bytes: 4, Sha256: sha256('good'), Url: server.url('good') },
    ])
    const skipped = item['ArtifactsSkipped'] as { Path: string; Reason: string }[]
    expect(Object.fromEntries(skipped.map(({ Path, Reason }) => [Path, Reason]))).toEqual({
      refused: expect.stringContaining('answered 403') as string,
      none: 'it is not there',
      link: 'it is no regular file but a link',
      'folder-link': 'it is no regular file but a link',
      out: expect.stringContaining('a folder can not go to one URL') as string,
    })
    expect([...server.files.keys()]).toEqual(['good'])
  })

  it('may be all that the program prints, which the item does not hold', async () => {
    const [stdout, stderr] = ['o'.repeat(500_000), 'e'.repeat(10)]
    const world = createWorld({ py: () => ({ stdout, stderr }) })
    await world.deliver({
      limits: { output_bytes: 1024 ** 2 },
      outputs: [
        { path: '/dev/stdout', url: server.url('stdout') },
        { path: '/dev/stderr', url: server.url('stderr') },
      ],
    })
    expect(itemOf(world)).toMatchObject({
      Status: 'success',
      StdoutTruncated: true,
      StdoutBytes: 500_000,
      Artifacts: [
        { Path: '/dev/stdout', Bytes: 500_000, Sha256: sha256(stdout), Url: server.url('stdout') },
        { Path: '/dev/stderr', Bytes: 10, Sha256: sha256(stderr), Url: server.url('stderr') },
      ],
    })
    expect(server.files.get('stdout')?.toString()).toBe(stdout)
    expect(server.files.get('stderr')?.toString()).toBe(stderr)
  })

  it('of a program that failed are sent as well, and change nothing of its status', async () => {
    exitCode = 3
    await put('log', 'why')
    const world = await leaving()
    await world.deliver({
      outputs: [
        { path: 'log', url: server.url('log') },
        { path: 'none', url: server.url('none') },
      ],
    })
    expect(itemOf(world)).toMatchObject({ Status: 'runtime_error', ExitCode: 3 })
    expect(server.files.get('log')?.toString()).toBe('why')
  })

  it('are never more than the working folder may hold', async () => {
    await put('out/a', 'x'.repeat(5000))
    await writeFile(join(folder, 'out/hole'), '')
    await truncate(join(folder, 'out/hole'), 30_000)
    await put('b', 'y'.repeat(3000))
    const world = await leaving()
    await world.deliver({
      limits: { disk_bytes: 10_000 },
      code: '',
      outputs: [
        { path: 'out/a', url: server.url('a') },
        { path: 'out/hole', url: server.url('hole') },
        { path: 'b', url: server.url('b') },
      ],
    })
    expect(itemOf(world)['Status']).toBe('file_error')
    expect([...server.files.keys()].sort()).toEqual(['a', 'b'])
  })

  it('are all sent when there are thousands, and as many told as the item holds', async () => {
    const root = join(folder, '..', `${folder.split('/').at(-1) ?? ''}-many`)
    await mkdir(root)
    try {
      for (let n = 0; n < 3000; n += 1) await put(`out/${'long name '.repeat(10)}${n}`, `${n}`)
      const world = await leaving()
      world.services.files = openFiles({ s3: { region: 'us-east-1' }, filesRoot: root })
      await world.deliver({ outputs: [{ path: 'out', url: `file://${root}` }] })
      const item = itemOf(world)
      expect(item['Status']).toBe('success')
      const listed = (item['Artifacts'] as unknown[]).length
      expect(listed).toBeGreaterThan(100)
      expect(item['ArtifactsUnlisted']).toBe(3000 - listed)
      expect(Buffer.byteLength(JSON.stringify(item))).toBeLessThan(400_000)
      expect(await readdir(root)).toHaveLength(3000)
    } finally {
      await rm(root, { recursive: true, force: true })
    }
  })

  it('of a folder with more files than are taken are a file error', async () => {
    const root = join(folder, '..', `${folder.split('/').at(-1) ?? ''}-most`)
    await mkdir(root)
    try {
      await mkdir(join(folder, 'out'))
      for (let n = 0; n < 10_005; n += 1) await writeFile(join(folder, `out/${n}`), '')
      const world = await leaving()
      world.services.files = openFiles({ s3: { region: 'us-east-1' }, filesRoot: root })
      await world.deliver({ outputs: [{ path: 'out', url: `file://${root}` }] })
      const item = itemOf(world)
      expect(item['Status']).toBe('file_error')
      expect(item['ArtifactsSkipped']).toContainEqual(
        expect.objectContaining({ Reason: 'there are more than 10000 files and folders' }),
      )
      expect(await readdir(root)).toHaveLength(9999)
    } finally {
      await rm(root, { recursive: true, force: true })
    }
  })

  it('of an archive that makes no sense stay within their folder, and are sent only where they are whole', async () => {
    await put('a', 'first')
    /** A member of an archive under any name. */
    const member = async (name: string): Promise<Buffer> => {
      const flags = ['-C', folder, '-cPf', '-', '--transform', `s,^a$,${name},`, 'a']
      return (await run('tar', flags, { encoding: 'buffer' })).stdout.subarray(0, 1024)
    }
    const names = ['out/a', 'b', 'out/../../../evil', '/evil', 'out/a/below', 'b/below', 'out/a', './out/c']
    const members = await Promise.all(names.map(member))
    const world = createWorld({ py: script })
    world.archive = Buffer.concat([...members, (await member('cut')).subarray(0, 600)])
    await world.deliver({
      outputs: [
        { path: 'out', url: server.url('out') },
        { path: 'b', url: server.url('b') },
      ],
    })
    const item = itemOf(world)
    expect(item['Status']).toBe('file_error')
    expect(server.files.get('b')?.toString()).toBe('first')
    expect([...server.files.keys()]).toEqual(['b'])
    expect(item['ArtifactsSkipped']).toEqual(
      expect.arrayContaining([
        { Path: 'out/../../../evil', Reason: 'it has empty parts, . or ..' },
        { Path: 'out/a/below', Reason: 'its name is there twice' },
        { Path: 'out', Reason: expect.stringContaining('could not be read to its end') as string },
      ]),
    )
  })
})
