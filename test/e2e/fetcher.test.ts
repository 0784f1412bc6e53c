import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/executors/docker/api/engine.ts'
import { requireEngine } from '../support/engine.ts'
import { buildShellImage } from '../support/images.ts'
import { Workplace, type Run } from '../support/run-bin.ts'
import { checksum, WorkerApiStandIn, type JobGiven } from '../support/worker-api/stand-in.ts'

const SHELL = 'opthub-runner-test/fetcher:shell'
/** MiB of the large input; 2048 for the real thing. */
const LARGE_MIB = Number(process.env['FETCHER_INPUT_MIB'] ?? 24)
const MIB = 1024 ** 2
/** Seconds for which the API is out of order. */
const OUTAGE_S = Number(process.env['FETCHER_OUTAGE_S'] ?? 9)

const engine = await requireEngine()

/** A stand-in of the API, a folder with a `.env`, and runners that use both. */
class Place implements AsyncDisposable {
  readonly api: WorkerApiStandIn
  readonly place: Workplace
  readonly files: string
  /** Of its runners, unless a test says otherwise. */
  readonly name = `fetcher-${randomBytes(4).toString('hex')}`

  private constructor(api: WorkerApiStandIn, place: Workplace) {
    this.api = api
    this.place = place
    this.files = join(place.folder, 'mounts')
  }

  static async open(more = '', config = ''): Promise<Place> {
    const api = await WorkerApiStandIn.start()
    const place = await Workplace.create(
      `pull_policy: never\nstop_grace: 1\nmin_free_disk: 0\nfetcher: {cognito_url: "${api.url}", give_up_after: 300}\n${config}`,
    )
    const found = new Place(api, place)
    await writeFile(
      join(place.folder, '.env'),
      `API_URL=${api.url}\nUSERNAME=worker # as at the web site\nPASSWORD="correct horse"\nACCESS_TOKEN=\nPATH_BASE=${found.files}\nPATH_HOST_BASE=${found.files} # on the host\nTIMEOUT_JOB=0.2\nTIMEOUT_STATUS=1\n${more}`,
    )
    return found
  }

  runner(...args: string[]): Run {
    return this.runnerNamed(this.name, ...args)
  }

  runnerNamed(name: string, ...args: string[]): Run {
    const all = ['fetcher', '--json', '--process-name', name, ...args]
    return this.place.start(all, { USERNAME: 'somebody-at-a-desk' })
  }

  /** Waits for the last word on a job. */
  async ended(id: string, timeout = 60_000): Promise<{ status: string; details: string | null }> {
    await expect
      .poll(() => this.api.told(id).at(-1)?.status, { timeout, interval: 50 })
      .toMatch(/^(finished|error)$/)
    const { status = '', details = null } = this.api.told(id).at(-1) ?? {}
    return { status, details }
  }

  async folders(): Promise<string[]> {
    return await readdir(this.files).catch(() => [])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.place[Symbol.asyncDispose]()
    await this.api[Symbol.asyncDispose]()
  }
}

function shellJob(script: string, handler: Record<string, unknown> = {}): JobGiven {
  return { app: { cmd: ['sh', '-c', script] }, handler: { image_url: SHELL, ...handler } }
}

/** How many containers of a runner are there. */
async function running(connection: Engine, name: string): Promise<number> {
  const filters = encodeURIComponent(
    JSON.stringify({ label: [`org.opthub.runner.process=${name}`, 'org.opthub.runner.kind=fetcher'] }),
  )
  return ((await connection.json('GET', `/containers/json?filters=${filters}`)) as unknown[]).length
}

async function rssMib(run: Run): Promise<number> {
  const status = await readFile(`/proc/${run.child.pid ?? 0}/status`, 'utf8').catch(() => '')
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
}

describe.runIf(engine !== undefined)('the fetcher', () => {
  beforeAll(async () => {
    if (engine !== undefined) await buildShellImage(engine, SHELL, 'exit 0')
  })
  afterAll(() => {
    engine?.close()
  })

  it.each(['s3', 'local'] as const)(
    'takes a job from its inputs to its outputs (%s storage)',
    async (storage) => {
      await using place = await Place.open()
      const { api } = place
      api.storage = storage
      const large = { generated: LARGE_MIB * MIB, bytesPerSecond: Math.max(10, LARGE_MIB / 4) * MIB }
      api.files.set('s3://bucket/in put/größe%20.bin', large)
      api.files.set('s3://bucket//double', randomBytes(1000))
      const small = randomBytes(3000)
      api.files.set('config.yaml', small)
      api.add('17', {
        ...shellJob(
          `cd /files && sha256sum data/large.bin | cat > output/sum.txt && mkdir -p output/a/b 'artifact/ü n' &&
         cp config.yaml 'artifact/ü n/copy it.yaml' 2>/dev/null || cat config.yaml > 'artifact/ü n/copy it.yaml'
         cat data/large.bin > output/a/b/large.bin; echo "$WORD" > log/word.log; df /dev/shm | tail -n 1; sleep 2.5`,
          {
            files_down: {
              'data/large.bin': 's3://bucket/in put/größe%20.bin',
              'data/double.bin': 's3://bucket//double',
              './config.yaml': 'config.yaml',
            },
            files_up: { output: 'output', log: 'log/', artifact: 'artifact' },
          },
        ),
        hardware: { cpu_cores: 1 },
      })
      const job = api.queue[0]?.job
      if (job?.app !== undefined) job.app.env = { WORD: 'a "quoted" word' }
      const run = place.runner('--once')
      expect(await run.ended).toBe(0)
      expect(await place.ended('17')).toEqual({ status: 'finished', details: null })
      expect(api.phases('17')).toEqual(['preprocessing', 'running', 'postprocessing', 'finished'])
      expect(api.longestSilence('17')).toBeLessThan(2000)
      expect(api.wrong).toEqual([])
      const sum = checksum(large)
      const sent = api.uploads.map(({ type, basePath, name, sha256 }) => [type, basePath, name, sha256])
      expect(sent).toHaveLength(4)
      expect(sent).toEqual(
        expect.arrayContaining([
          ['output', 'output/a/b', 'large.bin', sum],
          ['output', 'output', 'sum.txt', checksum(Buffer.from(`${sum}  data/large.bin\n`))],
          ['log', 'log', 'word.log', checksum(Buffer.from('a "quoted" word\n'))],
          ['artifact', 'artifact/ü n', 'copy it.yaml', checksum(small)],
        ]),
      )
      expect(api.asked.map(({ path }) => path)).toEqual(
        expect.arrayContaining([
          '/files/s3://bucket/in%20put/gr%C3%B6%C3%9Fe%2520.bin/url',
          '/files/s3://bucket//double/url',
        ]),
      )
      expect(await place.folders()).toEqual([])
    },
  )

  it('needs little memory for large files', async () => {
    await using place = await Place.open()
    place.api.files.set('large', { generated: LARGE_MIB * MIB })
    place.api.add(
      '1',
      shellJob('cat /files/in/large > /files/output/large; sleep 1', {
        files_down: { 'in/large': 'large' },
        files_up: { output: 'output' },
      }),
    )
    const run = place.runner()
    const ended = await place.ended('1', 280_000)
    const peak = await rssMib(run)
    run.child.kill('SIGTERM')
    await run.ended
    expect(ended.status).toBe('finished')
    expect(place.api.uploads[0]?.sha256).toBe(checksum({ generated: LARGE_MIB * MIB }))
    expect(place.api.longestSilence('1')).toBeLessThan(2000)
    console.log(`${LARGE_MIB} MiB in and out: ${peak.toFixed(0)} MiB of memory`)
    expect(peak).toBeLessThan(200)
  })

  it('says why a job failed', async () => {
    await using place = await Place.open('', 'timeout: 3')
    const { api } = place
    api.add('1', shellJob('seq 1000; sleep 0.3; echo last words >&2; exit 7', { files_up: { log: 'log' } }))
    api.add('2', shellJob('exit 0', { files_down: { a: 'nowhere' } }))
    api.add('3', shellJob('exit 0', { files_down: { '../../etc/a': 'x' } }))
    api.add('4', shellJob('exit 0', { files_up: { output: '/etc' } }))
    api.add('5', shellJob('exit 0', { image_url: 'opthub-runner-test/not-there:1' }))
    api.add('6', shellJob('sleep 100'))
    api.add('7', { handler: { image_url: SHELL }, app: { cmd: 'exit 5 # by a shell' } })
    api.add('8', { handler: { image_url: SHELL, entrypoint: "sh -c 'exit 9'" } })
    api.add('..', shellJob('exit 0'))
    api.add('9', { handler: {} })
    const run = place.runner('--drain-queue')
    expect(await run.ended).toBe(0)
    const first = api.told('1').at(-1)
    expect(first?.status).toBe('error')
    expect(first?.details).toMatch(/^exit_code: 7\n.*\n1000\nlast words$/s)
    expect(first?.details?.length).toBeLessThanOrEqual(1000 + 'exit_code: 7\n'.length)
    const said = (id: string): string => api.told(id).at(-1)?.details ?? ''
    expect(said('2')).toContain('"nowhere"')
    expect(said('3')).toContain('../../etc/a')
    expect(said('4')).toContain('it is absolute')
    expect(said('5')).toContain('opthub-runner-test/not-there:1')
    expect(said('6')).toContain('longer than 3 s')
    expect(said('7')).toContain('exit_code: 5')
    expect(said('8')).toContain('exit_code: 9')
    expect(said('..')).toContain('no name of a folder')
    expect(said('9')).toContain('handler.image_url is missing')
    expect(await place.folders()).toEqual([])
  })

  it('sends what is safe to be sent, and says what is not', async () => {
    await using place = await Place.open()
    const { api } = place
    api.add('1', {
      ...shellJob('exit 0'),
      app: {
        cmd: [
          'sh',
          '-c',
          `cd /files/output; mkdir 'a b'; echo 1 > 'a b/ü 名.txt'; echo 2 > "it's; \\"quoted\\".txt"; echo 3 > ..hidden; echo 4 > %2e%2e`,
        ],
      },
      handler: { image_url: SHELL, files_up: { output: 'output' } },
    })
    api.add(
      '2',
      shellJob('cd /files; for n in $(seq 10000); do echo $n > output/$n; done', {
        files_up: { output: 'output' },
      }),
    )
    const run = place.runner('--drain-queue')
    expect(await run.ended).toBe(0)
    expect(api.told('1').at(-1)?.status).toBe('finished')
    expect(
      api.uploads
        .filter(({ job }) => job === '1')
        .map(({ basePath, name }) => `${basePath}/${name.replaceAll('%22', '"')}`)
        .toSorted(),
    ).toEqual(
      ['output/a b/ü 名.txt', 'output/it\'s; "quoted".txt', 'output/..hidden', 'output/%2e%2e'].toSorted(),
    )
    expect(api.told('2').at(-1)?.status).toBe('finished')
    expect(new Set(api.uploads.filter(({ job }) => job === '2').map(({ name }) => name)).size).toBe(10_000)
    expect(api.longestSilence('2')).toBeLessThan(2000)
    expect(api.wrong).toEqual([])
  })

  it.each([
    ['while it downloads', 'preprocessing', { files_down: { slow: 'slow' } }, 'exit 0'],
    ['while it runs', 'running', {}, 'sleep 1000'],
    [
      'while it uploads',
      'postprocessing',
      {},
      'cat /dev/zero | head -c 50000000 > /files/output/a; for n in $(seq 3000); do echo > /files/output/b$n; done',
    ],
  ])('drops a job that is deleted %s', async (_when, phase, handler, script) => {
    await using place = await Place.open()
    const { api } = place
    api.files.set('slow', { generated: 100 * MIB, bytesPerSecond: MIB })
    api.add('1', shellJob(script, { files_up: { output: 'output' }, ...handler }))
    const run = place.runner()
    await expect.poll(() => api.told('1').at(-1)?.status, { timeout: 60_000, interval: 10 }).toBe(phase)
    if (phase === 'running' && engine !== undefined)
      await expect.poll(() => running(engine, place.name), { timeout: 20_000 }).toBe(1)
    api.delete('1')
    api.add('2', shellJob('exit 0'))
    expect((await place.ended('2')).status).toBe('finished')
    const uploads = api.uploads.length
    expect(run.records().some(({ msg }) => String(msg).startsWith('Lease lost'))).toBe(true)
    await expect.poll(() => place.folders(), { timeout: 20_000 }).toEqual([])
    if (engine !== undefined)
      await expect.poll(() => running(engine, place.name), { timeout: 20_000 }).toBe(0)
    if (phase !== 'postprocessing') expect(uploads).toBe(0)
    await delay(1500)
    expect(api.uploads.length).toBe(uploads)
    expect(api.wrong).toEqual([])
    run.child.kill('SIGTERM')
    expect(await run.ended).toBe(0)
  })

  it('goes on with its job while the API is out of order, and ends the last word then', async () => {
    await using place = await Place.open()
    const { api } = place
    api.add(
      '1',
      shellJob(`sleep ${OUTAGE_S - 3}; echo done > /files/output/a`, { files_up: { output: 'output' } }),
    )
    const run = place.runner()
    await expect.poll(() => api.told('1').at(-1)?.status, { timeout: 60_000 }).toBe('running')
    const faults = [
      { status: 503 },
      'cut',
      { status: 429 },
      { status: 500 },
      { status: 502 },
      { status: 504 },
    ] as const
    let n = 0
    api.fault = () => faults[n++ % faults.length]
    await delay(OUTAGE_S * 1000)
    api.fault = undefined
    expect(await place.ended('1')).toEqual({ status: 'finished', details: null })
    expect(api.uploads).toHaveLength(1)
    run.child.kill('SIGTERM')
    expect(await run.ended).toBe(0)
  })

  it('gives a job up when the API is gone for good', async () => {
    await using place = await Place.open('', 'shutdown_grace: 60')
    const { api } = place
    await writeFile(
      join(place.place.folder, 'config.yml'),
      `pull_policy: never\nstop_grace: 1\nmin_free_disk: 0\nfetcher: {cognito_url: "${api.url}", give_up_after: 8}\n`,
    )
    api.add('1', shellJob('sleep 1000'))
    const run = place.runner()
    await expect.poll(() => api.told('1').at(-1)?.status, { timeout: 60_000 }).toBe('running')
    await api.stop()
    await expect
      .poll(() => run.records().some(({ msg, outcome }) => msg === 'Job ended' && outcome === 'lost'), {
        timeout: 30_000,
      })
      .toBe(true)
    expect(await place.folders()).toEqual([])
    run.child.kill('SIGTERM')
    expect(await run.ended).toBe(0)
  })

  it('lets jobs end within the grace, and reports those that do not', async () => {
    await using place = await Place.open('', 'concurrency: 2')
    const { api } = place
    api.add('1', shellJob('sleep 3; echo 1 > /files/output/a', { files_up: { output: 'output' } }))
    api.add('2', shellJob('sleep 1000'))
    const run = place.runner('--shutdown-grace', '8')
    await expect
      .poll(() => [api.told('1').at(-1)?.status, api.told('2').at(-1)?.status], { timeout: 60_000 })
      .toEqual(['running', 'running'])
    run.child.kill('SIGTERM')
    await run.ended
    expect(api.told('1').at(-1)?.status).toBe('finished')
    expect(api.told('2').at(-1)).toMatchObject({ status: 'error' })
    expect(api.told('2').at(-1)?.details).toMatch(/stopped before the job ended/)
    expect(await place.folders()).toEqual([])
  })

  it('signs in again for a token that is refused, and says when the account is', async () => {
    await using place = await Place.open()
    const { api } = place
    api.add('1', shellJob('sleep 3'))
    const run = place.runner('--once')
    await expect.poll(() => api.told('1').at(-1)?.status, { timeout: 60_000 }).toBe('running')
    api.endTokens()
    expect(await run.ended).toBe(0)
    expect(api.told('1').at(-1)?.status).toBe('finished')
    api.users.set('worker', 'another')
    const refused = place.runner()
    expect(await refused.ended).toBe(1)
    expect(refused.stderr()).toContain('does not accept the account')
    expect(refused.stderr()).not.toContain('correct horse')
  })

  it('removes what a fetcher left that was killed', async () => {
    await using place = await Place.open()
    place.api.add('1', shellJob('sleep 1000'))
    const killed = place.runner()
    const containers = async (): Promise<number> =>
      engine === undefined ? 0 : await running(engine, place.name)
    // It is told that the job runs before the engine has started it.
    await expect.poll(containers, { timeout: 60_000 }).toBe(1)
    killed.child.kill('SIGKILL')
    await killed.ended
    expect(await place.folders()).toContain('1')
    expect(await place.runnerNamed(`${place.name}-next`, '--drain-queue').ended).toBe(0)
    expect(await place.folders()).toEqual([])
    await expect.poll(containers, { timeout: 40_000 }).toBe(0)
  })

  it('removes what a job left there before', async () => {
    await using place = await Place.open()
    await mkdir(join(place.files, '1', 'old'), { recursive: true })
    await chmod(join(place.files, '1', 'old'), 0o500)
    place.api.add('1', shellJob('[ ! -e /files/old ] && ls -a /files', {}))
    expect(await place.runner('--once').ended).toBe(0)
    expect(place.api.told('1').at(-1)?.status).toBe('finished')
    expect(existsSync(join(place.files, '1'))).toBe(false)
  })
})
