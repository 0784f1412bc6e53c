import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { StoppedError } from '../../../src/core/errors.ts'
import { requireEngine } from '../../support/engine.ts'
import { buildShellImage } from '../../support/images.ts'
import { growth, MIB, remove, setUp, text, type Bench } from './harness.ts'

const engine = await requireEngine()

describe.skipIf(engine === undefined)('what images do', () => {
  let bench: Bench
  let image: string

  beforeAll(async () => {
    if (engine === undefined) return
    image = await buildShellImage(engine, 'opthub-runner-test/shell:1', 'cat')
    bench = setUp(engine, image)
  })
  afterEach(async () => {
    expect(await bench.left()).toEqual([])
  })
  afterAll(() => bench.close())

  it('prints a result', async () => {
    const result = await bench.run('echo chatter; echo woe >&2; cat; printf " end"', {
      input: Buffer.from('in'),
    })
    expect(result).toMatchObject({ verdict: 'exited', exitCode: 0, lastLine: { state: 'line' } })
    expect(text(result.lastLine.bytes)).toBe('in end')
    expect(text(result.stderrTail)).toBe('woe\n')
    expect(Object.keys(bench.timeline.phases())).toEqual(['create', 'start', 'run'])
  })

  it('prints nothing', async () => {
    expect(await bench.run('true')).toMatchObject({
      verdict: 'exited',
      exitCode: 0,
      lastLine: { state: 'none' },
    })
  })

  it('prints half a JSON', async () => {
    expect(text((await bench.run(`printf '{"objective": '`)).lastLine.bytes)).toBe('{"objective": ')
  })

  it('exits 3, with and without a result', async () => {
    expect(await bench.run('exit 3')).toMatchObject({
      verdict: 'exited',
      exitCode: 3,
      lastLine: { state: 'none' },
    })
    expect(await bench.run('echo {}; exit 3')).toMatchObject({ exitCode: 3, lastLine: { state: 'line' } })
  })

  it('exits 137 or 143 by its own choice, which buys no retry', async () => {
    expect(await bench.run('exit 137')).toMatchObject({ verdict: 'exited', exitCode: 137 })
    expect(await bench.run('exit 143')).toMatchObject({ verdict: 'exited', exitCode: 143 })
    expect(await bench.run('sleep 60 & kill -9 $!; wait $!')).toMatchObject({
      verdict: 'exited',
      exitCode: 137,
    })
  })

  it('prints what the engine would say about itself, which means nothing', async () => {
    const script = 'echo "exec /main: exec format error" >&2; echo "no space left on device" >&2; exit 125'
    expect(await bench.run(script)).toMatchObject({ verdict: 'exited', exitCode: 125 })
  })

  it('ignores 10 MB of input, ending at once, later, and with output', async () => {
    const input = Buffer.alloc(10 * MIB, 'x')
    expect(await bench.run('exit 0', { input })).toMatchObject({ verdict: 'exited', exitCode: 0 })
    expect(await bench.run('sleep 0.3; echo ok', { input })).toMatchObject({ exitCode: 0 })
    const script = 'head -c 4; head -c 3000000 /dev/zero | tr "\\0" y; echo; echo done'
    const result = await bench.run(script, { input })
    expect(text(result.lastLine.bytes)).toBe('done')
  })

  it('loses no output when it breaks the input off, again and again', async () => {
    const input = Buffer.alloc(4 * MIB, 'x')
    for (let n = 0; n < 8; n += 1) {
      const result = await bench.run('head -c 100000 >/dev/null; head -c 500000 /dev/zero | tr "\\0" y', {
        input,
      })
      expect(result.lastLine.bytes).toHaveLength(500_000)
    }
  })

  it('never ends', async () => {
    const result = await bench.run('echo so far; sleep 1000', { timeoutMs: 500, stopGraceSeconds: 0.5 })
    expect(result.verdict).toBe('timeout')
    expect(text(result.lastLine.bytes)).toBe('so far')
  })

  it('never ends and ignores SIGTERM', async () => {
    const script = 'trap "" TERM; while :; do sleep 1; done'
    expect((await bench.run(script, { timeoutMs: 500, stopGraceSeconds: 0.5 })).verdict).toBe('timeout')
  })

  it('ends within the grace after SIGTERM, and what it says then is read', async () => {
    const script = 'trap "echo bye; exit 5" TERM; while :; do sleep 0.1; done'
    const result = await bench.run(script, { timeoutMs: 500, stopGraceSeconds: 30 })
    expect(result).toMatchObject({ verdict: 'timeout', exitCode: 5 })
    expect(text(result.lastLine.bytes)).toBe('bye')
  })

  it('never ends and never reads its 10 MB of input', async () => {
    const input = Buffer.alloc(10 * MIB, 'x')
    const result = await bench.run('sleep 1000', { input, timeoutMs: 500, stopGraceSeconds: 0 })
    expect(result.verdict).toBe('timeout')
  })

  it('forks children that outlive it, holding its output', async () => {
    const script = 'for n in 1 2 3; do (trap "" TERM HUP; sleep 1000) & done; echo {}'
    const result = await bench.run(script)
    expect(result).toMatchObject({ verdict: 'exited', exitCode: 0 })
    expect(text(result.lastLine.bytes)).toBe('{}')
  })

  it('closes its output early and works on', async () => {
    const script = 'echo {}; exec >&- 2>&-; n=$(wc -c); sleep 0.2; [ "$n" = 3000000 ]'
    const result = await bench.run(script, { input: Buffer.alloc(3_000_000, 'x') })
    expect(result).toMatchObject({ verdict: 'exited', exitCode: 0 })
    expect(text(result.lastLine.bytes)).toBe('{}')
  })

  it('runs out of memory', async () => {
    const limits = { memoryBytes: 32 * MIB }
    const killed = await bench.run('exec tail /dev/zero', { spec: { limits } })
    expect(killed).toMatchObject({ verdict: 'out_of_memory', exitCode: 137 })
    const survived = await bench.run('tail /dev/zero; echo {}', { spec: { limits } })
    expect(survived).toMatchObject({ verdict: 'exited', exitCode: 0 })
  })

  it('floods without end: 1 GiB does not swell this process', async () => {
    const grown = await growth(async () => {
      expect((await bench.run('exec cat /dev/zero')).verdict).toBe('flood')
    })
    expect(grown).toBeLessThan(150 * MIB)
  })

  it('floods with short lines and with stderr', async () => {
    expect((await bench.run('exec yes', { maxTotalBytes: 100 * MIB })).verdict).toBe('flood')
    expect((await bench.run('exec yes >&2', { maxTotalBytes: 100 * MIB })).verdict).toBe('flood')
  })

  it('chats 200 MB before its result, which is not lost', async () => {
    const grown = await growth(async () => {
      const result = await bench.run('yes chatter | head -c 200000000; echo; echo woe >&2; printf "{}"')
      expect(result).toMatchObject({ verdict: 'exited', exitCode: 0 })
      expect(text(result.lastLine.bytes)).toBe('{}')
    })
    expect(grown).toBeLessThan(150 * MIB)
  })

  it('prints a result line of 15 MB, every byte of it', async () => {
    const result = await bench.run('yes 0123456789abcde | tr -d "\\n" | head -c 15000000')
    const expected = Buffer.alloc(15_000_000, '0123456789abcde')
    expect(Buffer.compare(result.lastLine.bytes, expected)).toBe(0)
  })

  it('prints a last line that is too long', async () => {
    const result = await bench.run('echo {}; head -c 2000 /dev/zero | tr "\\0" x', { maxLineBytes: 1000 })
    expect(result).toMatchObject({ verdict: 'exited', lastLine: { state: 'too_long' } })
  })

  it('reads 50 MB of input, every byte of it', async () => {
    const part = Buffer.alloc(MIB, 'The quick brown fox. ')
    const sum = createHash('sha256')
    for (let n = 0; n < 50; n += 1) sum.update(part)
    function* parts(): Generator<Uint8Array> {
      for (let n = 0; n < 50; n += 1) yield part
    }
    const grown = await growth(async () => {
      const result = await bench.run('sha256sum', { input: parts() })
      expect(text(result.lastLine.bytes)).toBe(`${sum.digest('hex')}  -`)
    })
    expect(grown).toBeLessThan(60 * MIB)
  })

  it('reads 50 MB slowly', async () => {
    const input = Buffer.alloc(50 * MIB, 'x')
    const result = await bench.run('sleep 0.5; head -c 1000 | wc -c; sleep 0.2; wc -c', { input })
    expect(text(result.lastLine.bytes).trim()).toMatch(/^\d+$/)
  })

  it('is stopped by an abort, at once and with nothing left', async () => {
    const stop = new AbortController()
    const running = bench.run('trap "" TERM; sleep 1000', { signal: stop.signal, stopGraceSeconds: 100 })
    setTimeout(() => {
      stop.abort(new StoppedError('second signal'))
    }, 700)
    await expect(running).rejects.toThrow(StoppedError)
  })

  it.each([0, 5, 20, 60, 150])('is aborted %i ms after the start was asked for', async (ms) => {
    const stop = new AbortController()
    const running = bench.run('sleep 1000', { signal: stop.signal })
    setTimeout(() => {
      stop.abort(new StoppedError('now'))
    }, ms)
    await expect(running).rejects.toThrow(StoppedError)
  })

  it('runs behind its walls', async () => {
    const limits = {
      cpus: 0.5,
      memoryBytes: 64 * MIB,
      pids: 20,
      shmBytes: 8 * MIB,
      network: 'none',
      readOnly: true,
      user: '65534:65534',
      tmpfs: { '/tmp': 'size=1m' },
      ulimits: { nofile: 77 },
    } as const
    const script = [
      'id -u',
      'touch /x 2>/dev/null || echo read-only',
      'head -c 2000000 /dev/zero > /tmp/x 2>/dev/null || echo tmp full',
      'ulimit -n',
      'df -k /dev/shm | tail -1 | tr -s " " | { read a b c; echo $b; }',
      'ls /sys/class/net | cat',
      'cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null',
      'echo "$WHO"',
    ].join('; ')
    const { executor } = bench
    await using task = await executor.start(
      bench.spec(script, { limits, environment: { WHO: 'a "b" $c=d\ne' } }),
      new AbortController().signal,
    )
    let out = ''
    const reading = (async () => {
      for await (const { data } of task.output()) out += text(data)
    })()
    await task.send(new Uint8Array())
    await Promise.all([task.wait(), reading])
    expect(out.trim().split('\n')).toEqual([
      ...['65534', 'read-only', 'tmp full', '77', '8192', 'lo', '20', 'a "b" $c=d', 'e'],
    ])
  })

  it('keeps its container when told, with a readable log', async () => {
    const result = await bench.run('echo to be read; echo {}', { spec: { keep: true } })
    expect(text(result.lastLine.bytes)).toBe('{}')
    const [kept] = await bench.containers()
    if (engine === undefined || kept === undefined) throw new Error('it was not kept')
    const note = bench.records.findLast(({ msg }) => msg === 'The container is kept')
    expect(note?.fields['logs']).toBe(`docker logs ${kept.Names[0]?.slice(1) ?? ''}`)
    const logs = await engine.open('GET', `/containers/${kept.Id}/logs`, {
      query: { stdout: '1', stderr: '1' },
    })
    let read = ''
    for await (const part of logs) read += String(part)
    expect(read).toContain('to be read')
    await remove(engine, kept.Id)
  })

  it('keeps a container whose time was over, dead', async () => {
    await bench.run('sleep 1000', { spec: { keep: true }, timeoutMs: 300, stopGraceSeconds: 0 })
    const [kept] = await bench.containers()
    if (engine === undefined || kept === undefined) throw new Error('it was not kept')
    const answer = (await engine.json('GET', `/containers/${kept.Id}/json`)) as {
      State: { Running: boolean }
    }
    expect(answer.State.Running).toBe(false)
    await remove(engine, kept.Id)
  })

  it('declares a VOLUME, a HEALTHCHECK and a user, and leaves no volume behind', async () => {
    if (engine === undefined) return
    const changes = ['VOLUME /data', 'HEALTHCHECK CMD exit 1', 'USER nobody', 'WORKDIR /tmp']
    const tag = await buildShellImage(engine, 'opthub-runner-test/volume:1', 'id -u; pwd', { changes })
    const volumes = async (): Promise<string[]> => {
      const answer = (await engine.json('GET', '/volumes')) as { Volumes: { Name: string }[] | null }
      return (answer.Volumes ?? []).map(({ Name }) => Name)
    }
    const running = bench.run('sleep 0.5; id -u; ls -d /data', { spec: { image: tag } })
    let used: string[] = []
    while (used.length === 0)
      used = (await bench.containers()).flatMap(({ Mounts }) => Mounts.map(({ Name = '' }) => Name))
    const result = await running
    expect(text(result.lastLine.bytes)).toBe('/data')
    expect(used).toHaveLength(1)
    await expect.poll(volumes, { timeout: 10_000 }).not.toContain(used[0])
  })
})
