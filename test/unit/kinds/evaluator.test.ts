import { describe, expect, it } from 'vitest'
import { JobError, LeaseLostError, NotYetError, RetryableError } from '../../../src/core/errors.ts'
import { formatJson, type Json } from '../../../src/core/json.ts'
import { ImageError } from '../../../src/executors/executor.ts'
import { createEvaluator } from '../../../src/kinds/evaluator/handler.ts'
import type { ScriptedRun } from '../../support/scripted-executor.ts'
import type { Item } from '../../../src/stores/store.ts'
import { addItem, addSolution, createWorld, MATCH, trialOf, warnings, work, type World } from './harness.ts'

const TRIAL = trialOf('00001')
const PARTITION = `Evaluations#Match#${MATCH}#Team#1`

/** Evaluates one trial with an image that gives `answer`, and hands back what was stored. */
async function evaluate(answer: ScriptedRun | string, settings = {}): Promise<{ world: World; item: Item }> {
  const world = createWorld(() => (typeof answer === 'string' ? { stdout: answer } : answer), settings)
  addSolution(world, TRIAL)
  await work(createEvaluator(world.services), TRIAL, world)
  const [flag, item, ...more] = world.store.partition(PARTITION)
  expect(more).toEqual([])
  expect(flag).toEqual({ ID: PARTITION, Trial: '00001', IgnoreStream: true })
  expect(world.executor.present.size).toBe(0)
  return { world, item: item ?? {} }
}

function json(value: Json | undefined): string {
  return value === undefined ? 'nothing' : formatJson(value)
}

describe('a successful evaluation', () => {
  it('is stored with exactly its attributes, and its flag', async () => {
    const { item } = await evaluate('chatter\n{"objective": 1.50, "constraint": [0, null], "feasible": true}')
    expect(Object.keys(item).sort()).toEqual(
      [
        ...['ID', 'Trial', 'TrialNo', 'ResourceType', 'MatchID', 'CreatedAt', 'ParticipantID', 'StartedAt'],
        ...['FinishedAt', 'Status', 'Objective', 'Constraint', 'Info', 'Feasible', 'IgnoreStream'],
      ].sort(),
    )
    expect(item).toMatchObject({
      ID: PARTITION,
      Trial: 'Success#00001',
      TrialNo: '00001',
      ResourceType: 'Evaluation',
      MatchID: `Match#${MATCH}`,
      ParticipantID: 'Team#1',
      Status: 'Success',
      StartedAt: '2026-11-20T09:30:00.123Z',
      FinishedAt: '2026-11-20T09:30:00.123Z',
      CreatedAt: '2026-11-20T09:30:00.123Z',
      Info: new Map(),
      Feasible: true,
      IgnoreStream: false,
    })
    expect(json(item['Objective'])).toBe('1.5')
    expect(json(item['Constraint'])).toBe('[0,null]')
  })

  it('gives the image its variable as Python writes it, on one line', async () => {
    const world = createWorld(() => ({ stdout: '{"objective": 1}' }))
    addItem(
      world,
      `{"ID": "Solutions#Match#${MATCH}#Team#1", "Trial": "00001",
        "Variable": [1, 4294967296, 1e22, 0.1, -0.5, 12345678901234567890, {"é\\n": null, "b": [true, "x"]}]}`,
    )
    await work(createEvaluator(world.services), TRIAL, world)
    expect(world.inputs).toEqual([
      '[1.0, 4294967296.0, 1e+22, 0.1, -0.5, 12345678901234567890.0, {"\\u00e9\\n": null, "b": [true, "x"]}]\n',
    ])
  })

  it.each([
    ['1e22', '10000000000000000000000'],
    ['0.1', '0.1'],
    ['12345678901234567890', '12345678901234567890'],
    ['-1.5e-300', '0'],
    ['NaN', 'null'],
    ['Infinity', '9.9999999999999999999999999999999999999e125'],
    ['-Infinity', '-9.9999999999999999999999999999999999999e125'],
    ['1e400', '9.9999999999999999999999999999999999999e125'],
    ['0.12345678901234567890123456789012345678', '0.12345678901234567890123456789012345678'],
    ['123456789012345678901234567890123456785', '123456789012345678901234567890123456780'],
    ['123456789012345678901234567890123456775', '123456789012345678901234567890123456780'],
    ['[1, NaN, null]', '[1,null,null]'],
    ['null', 'null'],
  ])('stores the number %s as %s', async (printed, stored) => {
    const { item } = await evaluate(`{"objective": ${printed}}`)
    const { item: same } = await evaluate(`{"objective": ${stored}}`)
    expect(json(item['Objective'])).toBe(json(same['Objective']))
    expect(item['Status']).toBe('Success')
  })

  it('warns of numbers that it had to change', async () => {
    const { world } = await evaluate('{"objective": Infinity, "constraint": 1e-200, "info": {"a": [NaN]}}')
    const text = warnings(world).join('\n')
    expect(text).toContain('objective: Infinity')
    expect(text).toContain('constraint: 1e-200')
    expect(text).toContain('info.a[0]: NaN')
  })

  it('keeps other JSON in objective and constraint, with a warning', async () => {
    const { world, item } = await evaluate('{"objective": {"f1": 1}, "constraint": [[1]]}')
    expect(json(item['Objective'])).toBe('{"f1":1}')
    expect(json(item['Constraint'])).toBe('[[1]]')
    expect(warnings(world)).toHaveLength(2)
  })

  it('keeps any info, booleans and null too', async () => {
    const { item } = await evaluate('{"objective": 1, "info": {"ok": true, "n": null, "l": [false]}}')
    expect(json(item['Info'])).toBe('{"ok":true,"n":null,"l":[false]}')
    expect((await evaluate('{"objective": 1, "info": null}')).item['Info']).toBeNull()
    expect((await evaluate('{"objective": 1, "info": [1]}')).item['Status']).toBe('Success')
  })

  it('counts with a non-zero exit code, but for a warning', async () => {
    const { world, item } = await evaluate({ stdout: '{"objective": 1}', exitCode: 3 })
    expect(item['Status']).toBe('Success')
    expect(warnings(world).join()).toContain('exit_code')
  })

  it('takes error: null for no error', async () => {
    expect((await evaluate('{"objective": 1, "error": null}')).item['Status']).toBe('Success')
  })
})

describe("a trial's own failure", () => {
  it.each([
    ['an error with a text', { stdout: '{"error": "no such problem"}' }, 'no such problem'],
    ['an error beside a fitting result', { stdout: '{"objective": 1, "error": "bad"}' }, 'bad'],
    ['an empty error', { stdout: '{"objective": null, "error": ""}' }, ''],
    ['a zero error', { stdout: '{"error": 0}' }, '0'],
    ['a false error', { stdout: '{"error": false}' }, 'false'],
    ['an error object', { stdout: '{"error": {"code": 1}}', exitCode: 1 }, '{"code":1}'],
    ['no output', {}, /printed no result/],
    ['half a JSON', { stdout: '{"objective": 1' }, /not valid JSON/],
    ['no object', { stdout: '[1]' }, /not a JSON object/],
    ['no objective', { stdout: '{"constraint": 1}' }, /no key "objective"/],
    ['a feasible of 1', { stdout: '{"objective": 1, "feasible": 1}' }, /"feasible"/],
    ['exit 3 without a result', { exitCode: 3, stderr: 'boom' }, /exited with code 3/],
    ['out of memory', { exitCode: 137, oomKilled: true }, /out of memory/],
    [
      'a line too long',
      { stdout: `{"objective": "${'x'.repeat(2 * 1024 ** 2)}"}` },
      /longer than 1048576 bytes/,
    ],
    ['a flood', { stdout: 'x\n'.repeat(3 * 1024 ** 2) }, /more than 4194304 bytes/],
    [
      'an item too large',
      { stdout: `{"objective": 1, "info": "${'x'.repeat(500_000)}"}` },
      /^result cannot be stored: /,
    ],
    ['an empty key', { stdout: '{"objective": 1, "info": {"": 1}}' }, /^result cannot be stored: /],
    [
      '40 levels',
      { stdout: `{"objective": ${'['.repeat(40)}${']'.repeat(40)}}` },
      /^result cannot be stored: /,
    ],
    [
      'too many values',
      { stdout: `{"objective": [${'1,'.repeat(204_800)}1]}` },
      /^result cannot be stored: .*values/,
    ],
    [
      '2000 levels',
      { stdout: `{"objective": ${'['.repeat(2000)}${']'.repeat(2000)}}` },
      /^result cannot be stored: /,
    ],
  ] satisfies [string, ScriptedRun, string | RegExp][])('%s', async (_, answer, message) => {
    const { item } = await evaluate(answer)
    expect(Object.keys(item).sort()).toEqual(
      [
        ...['ID', 'Trial', 'TrialNo', 'ResourceType', 'MatchID', 'CreatedAt', 'ParticipantID', 'StartedAt'],
        ...['FinishedAt', 'Status', 'ErrorMessage', 'AdminErrorMessage', 'IgnoreStream'],
      ].sort(),
    )
    expect(item).toMatchObject({ Trial: 'Failed#00001', Status: 'Failed', IgnoreStream: false })
    if (typeof message === 'string') expect(item['ErrorMessage']).toBe(message)
    else expect(item['ErrorMessage']).toMatch(message)
  })

  it('shows the last lines of stderr to the administrator only', async () => {
    const { item } = await evaluate({ exitCode: 1, stderr: 'Traceback …\nKeyError: 3\n' })
    expect(item['ErrorMessage']).not.toContain('KeyError')
    expect(item['AdminErrorMessage']).toContain('KeyError: 3')
    expect(item['AdminErrorMessage']).toContain(item['ErrorMessage'])
  })

  it('strict_exit fails a result with a non-zero exit code', async () => {
    const { item } = await evaluate({ stdout: '{"objective": 1}', exitCode: 3 }, { strictExit: true })
    expect(item['ErrorMessage']).toMatch(/exited with code 3/)
  })

  it('timeout', async () => {
    const { item } = await evaluate({ neverEnds: true }, { timeoutSeconds: 0.01 })
    expect(item['ErrorMessage']).toMatch(/did not end within 0\.01 s/)
  })

  it('a solution that does not appear within 10 s', async () => {
    const world = createWorld(() => ({}))
    await work(createEvaluator(world.services), TRIAL, world)
    const [, item] = world.store.partition(PARTITION)
    expect(item).toMatchObject({ Status: 'Failed', ErrorMessage: 'Internal Server Error' })
    expect(item?.['AdminErrorMessage']).toContain(`Solutions#Match#${MATCH}#Team#1`)
    expect(item?.['StartedAt']).toBe(item?.['FinishedAt'])
    expect(world.clock.now()).toBeGreaterThanOrEqual(10_000)
    expect(world.executor.started).toEqual([])
  })

  it('but not one that appears late', async () => {
    const world = createWorld(() => ({ stdout: '{"objective": 1}' }))
    world.store.before = () => {
      if (world.clock.now() > 5000) addSolution(world, TRIAL)
    }
    expect(await work(createEvaluator(world.services), TRIAL, world)).toBe('succeeded')
  })

  it('holds no secret of the environment, nor does the log', async () => {
    const image = { image: 'p', environment: { API_KEY: 'tops3cret' } }
    const world = createWorld(
      (_, spec) => ({ stdout: `{"error": "${spec.environment['API_KEY'] ?? ''}"}`, stderr: 'tops3cret' }),
      {},
      { '*': { problem: image } },
    )
    addSolution(world, TRIAL)
    await work(createEvaluator(world.services), TRIAL, world)
    const [, item] = world.store.partition(PARTITION)
    expect(item?.['ErrorMessage']).toBe('***')
    expect(JSON.stringify([item, world.log])).not.toContain('tops3cret')
  })
})

describe('exactly one result', () => {
  it('runs nothing for a trial that has one', async () => {
    const { world } = await evaluate('{"objective": 1}')
    expect(await work(createEvaluator(world.services), TRIAL, world)).toBe('settled')
    expect(world.executor.started).toHaveLength(1)
  })

  it.each(['Success#00001', 'Failed#00001', '00001'])('takes %s alone for a result', async (Trial) => {
    const world = createWorld(() => ({}))
    world.store.add({ ID: PARTITION, Trial })
    expect(await work(createEvaluator(world.services), TRIAL, world)).toBe('settled')
    expect(world.executor.started).toEqual([])
    expect(world.store.puts).toBe(0)
  })

  it('writes nothing beside a result that came while it ran', async () => {
    const world = createWorld(() => {
      world.store.add({ ID: PARTITION, Trial: '00001', IgnoreStream: true })
      return { stdout: '{"objective": 1}' }
    })
    addSolution(world, TRIAL)
    expect(await work(createEvaluator(world.services), TRIAL, world)).toBe('settled')
    expect(world.store.partition(PARTITION)).toHaveLength(1)
  })

  it('writes nothing once the lease is lost', async () => {
    for (const stdout of ['{"objective": 1}', '{"error": "x"}']) {
      const world = createWorld(() => ({ stdout }))
      addSolution(world, TRIAL)
      const assertHeld = (): void => {
        throw new LeaseLostError('lost')
      }
      const done = work(createEvaluator(world.services), TRIAL, world, { assertHeld })
      await expect(done).rejects.toThrow(LeaseLostError)
      expect(world.store.puts).toBe(0)
    }
  })

  it('throws the reason of an abort, and removes its container', async () => {
    const controller = new AbortController()
    const world = createWorld(() => {
      controller.abort(new LeaseLostError('lost'))
      return { neverEnds: true }
    })
    addSolution(world, TRIAL)
    const done = work(createEvaluator(world.services), TRIAL, world, { signal: controller.signal })
    await expect(done).rejects.toThrow(LeaseLostError)
    expect(world.store.puts).toBe(0)
    expect(world.executor.present.size).toBe(0)
  })
})

describe('what is not the fault of the trial', () => {
  it.each([
    'not_found',
    'denied',
    'invalid_reference',
    'not_allowed',
    'platform_mismatch',
    'not_startable',
  ] as const)('an image that is %s parks its match', async (reason) => {
    const world = createWorld(() => ({ stdout: '{"objective": 1}' }))
    addSolution(world, TRIAL)
    const evaluator = createEvaluator(world.services)
    world.executor.failure = new ImageError(reason, 'the image p …')
    const failed = work(evaluator, TRIAL, world)
    await expect(failed).rejects.toThrow(NotYetError)
    await expect(failed).rejects.toThrow(/the image p/)
    await expect(failed).rejects.toMatchObject({ retryAfterSeconds: 60 })
    // Until its time has come nothing is pulled again, nor said again.
    world.clock.jump(20_000)
    await expect(work(evaluator, TRIAL, world)).rejects.toMatchObject({ retryAfterSeconds: 40 })
    expect(world.resolved).toHaveLength(1)
    world.clock.jump(40_000)
    await expect(work(evaluator, TRIAL, world)).rejects.toThrow(NotYetError)
    expect(world.resolved).toHaveLength(2)
    expect(world.log.filter((record) => record.level === 'ERROR')).toHaveLength(1)
    expect(world.store.puts).toBe(0)
    world.executor.failure = undefined
    world.clock.jump(60_000)
    expect(await work(evaluator, TRIAL, world)).toBe('succeeded')
    expect(world.log.some((record) => record.msg === 'Match works again')).toBe(true)
  })

  it('a match that is not known, or has no problem, is parked; its settled trials are not', async () => {
    for (const [matches, text] of [
      [{}, /`matches:`/],
      [{ '*': { indicator: { image: 'i' } } }, /no problem image/],
    ] as const) {
      const world = createWorld(() => ({}), {}, matches)
      addSolution(world, TRIAL)
      const evaluator = createEvaluator(world.services)
      await expect(work(evaluator, TRIAL, world)).rejects.toThrow(text)
      world.store.add({ ID: PARTITION, Trial: '00001', IgnoreStream: true })
      expect(await work(evaluator, TRIAL, world)).toBe('settled')
    }
  })

  it('a table or an engine that fails passes through, and nothing is stored', async () => {
    const world = createWorld(() => ({ stdout: '{"objective": 1}' }))
    addSolution(world, TRIAL)
    const evaluator = createEvaluator(world.services)
    world.store.before = (call) => {
      if (call === 'put') throw new RetryableError('store', 'throttled')
    }
    await expect(work(evaluator, TRIAL, world)).rejects.toThrow(RetryableError)
    world.executor.failure = new RetryableError('engine', 'gone')
    await expect(work(evaluator, TRIAL, world)).rejects.toThrow(/gone/)
    expect(world.store.partition(PARTITION)).toEqual([])
  })

  it('a JobError of the table makes the trial fail', async () => {
    const world = createWorld(() => ({ stdout: '{"objective": 1}' }))
    addSolution(world, TRIAL)
    world.store.before = (call) => {
      if (call === 'put' && world.store.puts === 1) {
        throw new JobError('unstorable_result', 'result cannot be stored: so it said')
      }
    }
    expect(await work(createEvaluator(world.services), TRIAL, world)).toBe('failed')
    expect(world.store.partition(PARTITION)[1]).toMatchObject({
      ErrorMessage: 'result cannot be stored: so it said',
    })
  })
})

describe('the container', () => {
  it('is made as config and match say, the match first, the words of the command line before all', async () => {
    const recipe = {
      image: 'p',
      command: ['of', 'match'],
      environment: { A: 'b' },
      limits: { pids: 5 },
      timeout: 0.01,
    }
    const run = async (settings: object): Promise<World> => {
      const world = createWorld(() => ({ neverEnds: true }), settings, { '*': { problem: recipe } })
      addSolution(world, TRIAL)
      await work(createEvaluator(world.services), TRIAL, world)
      return world
    }
    const plain = await run({ limits: { cpus: 1, pids: 9 }, keep: true })
    expect(plain.executor.started[0]).toMatchObject({
      kind: 'evaluator',
      image: 'p',
      command: ['of', 'match'],
      environment: { A: 'b' },
      limits: { cpus: 1, pids: 5 },
      keep: true,
    })
    expect(plain.executor.started[0]?.name).toMatch(/^evaluator-0b0f7f0c-Team-1-00001-[0-9a-f]{8}$/)
    expect((await run({ command: ['of', 'line'] })).executor.started[0]?.command).toEqual(['of', 'line'])
  })

  it("has the image's own command when nobody says another", async () => {
    const { world } = await evaluate('{"objective": 1}')
    expect(world.executor.started[0]).not.toHaveProperty('command')
  })
})

describe('forwarding to the scorer', () => {
  const body = { MatchID: MATCH, ParticipantID: 'Team#1', TrialNo: '00001' }

  it('sends the three keys after a success, whoever stored it', async () => {
    const { world } = await evaluate('{"objective": 1}')
    await work(createEvaluator(world.services), TRIAL, world)
    expect(world.forwarded.map((text) => JSON.parse(text) as unknown)).toEqual([body, body])
  })

  it('sends nothing after a failure, whoever stored it', async () => {
    const { world } = await evaluate('{"error": "x"}')
    await work(createEvaluator(world.services), TRIAL, world)
    expect(world.forwarded).toEqual([])
  })

  it('leaves the message when the scorer could not be told', async () => {
    const world = createWorld(() => ({ stdout: '{"objective": 1}' }))
    addSolution(world, TRIAL)
    const forward = async (): Promise<void> => Promise.reject(new RetryableError('queue', 'down'))
    const evaluator = createEvaluator({ ...world.services, forward })
    await expect(work(evaluator, TRIAL, world)).rejects.toThrow('down')
    expect(world.store.partition(PARTITION)).toHaveLength(2)
  })

  it('is not there unless it is asked for', () => {
    const { store, executor, clock, matches, settings } = createWorld(() => ({})).services
    expect(createEvaluator({ store, executor, clock, matches, settings })).not.toHaveProperty('announce')
  })
})
