import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import manifest from '../../../package.json' with { type: 'json' }
import { VERBS } from '../../../src/cli/verbs.ts'
import { runMain } from '../../support/fake-io.ts'

const MATCH = '0f8fad5b-d9cb-469f-a165-70867728950e'

let folder: string
let config: string
let broken: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'opthub-cli-'))
  config = join(folder, 'config.yml')
  broken = join(folder, 'broken.yml')
  await writeFile(config, 'matches: {"*": {problem: {image: p}, indicator: {image: i}}}\n')
  await writeFile(broken, 'interval: soon\nwait_tme: 3\n')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

describe('help and version', () => {
  test.each([['--version'], ['-V']])('%s prints the version of the package', async (flag) => {
    expect(await runMain([flag])).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: '' })
  })

  test.each([[['--help']], [['-h']], [['help']]])('%j lists every verb', async (argv) => {
    const { code, stdout, stderr } = await runMain(argv)
    expect(code).toBe(0)
    expect(stderr).toBe('')
    for (const { name, summary } of VERBS) expect(stdout).toMatch(new RegExp(`^  ${name} .*${summary}$`, 'm'))
  })

  test.each(VERBS.map(({ name }) => [name]))('%s --help explains the verb', async (name) => {
    const { code, stdout } = await runMain([name, '--help'])
    expect(code).toBe(0)
    expect(stdout).toContain(`Usage: opthub-runner ${name}`)
    expect((await runMain(['help', name])).stdout).toBe(stdout)
  })

  test('without arguments the help goes to stderr, as a mistake', async () => {
    const { code, stdout, stderr } = await runMain([])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: opthub-runner <verb>')
  })

  test('config without its second word shows its help, as a mistake', async () => {
    const { code, stderr } = await runMain(['config'])
    expect(code).toBe(2)
    expect(stderr).toContain('schema')
  })
})

describe('wrong arguments end with 2 and one clear error', () => {
  const variable = ['--participant', 'User#1', '--variable']
  test.each<[string[], ...string[]]>([
    [['evaluatr'], 'Unknown verb evaluatr', 'Did you mean evaluator?'],
    [['frobnicate'], 'Unknown verb frobnicate', 'The verbs are demo, evaluator'],
    [['--num', '3', 'evaluator'], 'Unknown option --num in front of the verb'],
    [['help', 'scorr'], 'Unknown verb scorr', 'Did you mean scorer?'],
    [
      ['evaluator', '--nim', '3'],
      "Unknown option '--nim'",
      'Did you mean --num?',
      'Put `--` in front of words',
    ],
    [['evaluator', '--num'], "Option '--num <n>' argument missing"],
    [['evaluator', '--local', '--num', '-1'], '--num: num must be a whole number of at least 0, not "-1"'],
    [['evaluator', '--local', '--num', '1.5'], '--num: num must be'],
    [
      ['evaluator', '--local', '--concurrency', 'many'],
      '--concurrency: concurrency must be a whole number from 1 to 1000, or auto',
    ],
    [['evaluator', '--local', '--log-level', 'loud'], '--log-level: log_level must be one of DEBUG'],
    [['evaluator', '--local', '--shutdown-grace', 'x'], '--shutdown-grace: shutdown_grace must be seconds'],
    [['evaluator', '--once', '--num', '2'], '--once and --num exclude each other'],
    [['scorer', '--process-name', ''], '--process-name: a process name has 1 to 128 characters'],
    [['scorer', '--process-name', 'a\u001b[31m'], '--process-name: a process name'],
    [['submit'], 'Usage: opthub-runner submit'],
    [['submit', 'evaluatr'], "Unknown command 'evaluatr'", 'Did you mean evaluator?'],
    [['submit', 'evaluator'], '--match is missing'],
    [['submit', 'evaluator', '--match', MATCH], '--participant is missing'],
    [['submit', 'evaluator', '--match', MATCH, '--participant', 'User#1'], '--variable is missing'],
    [['submit', 'evaluator', '--match', 'x', ...variable, '1'], '--match: this names no match'],
    [
      ['submit', 'evaluator', '--match', MATCH, '--participant', ' ', '--variable', '1'],
      '--participant: this names no participant',
    ],
    [
      ['submit', 'evaluator', '--match', MATCH, ...variable, '[1, 2,]'],
      '--variable is not JSON',
      'line 1, column 7',
      'single quotes',
    ],
    [['submit', 'evaluator', '--match', MATCH, ...variable, ''], '--variable is empty where JSON is wanted'],
    [['submit', 'evaluator', '--file', '/nowhere.json'], "--file can't be read", 'ENOENT'],
    [['submit', 'evaluator', '--file', 'x', '--match', MATCH], '--file and --match exclude each other'],
    [['results', 'evaluator'], '--match is missing'],
    [['results', 'scorer', 'nonsense'], 'The argument: this is no job id'],
    [['results', 'scorer', `${MATCH}/User#1/one`], 'The argument: this names no trial'],
    [
      ['results', 'scorer', `${MATCH}/User#1/00001`, '--match', MATCH],
      'An id excludes --match and --participant',
    ],
    [['results', 'scorer', '--match', MATCH, '--json', '--csv'], '--json and --csv exclude each other'],
    [
      ['results', 'scorer', '--match', MATCH, '--direction', 'up'],
      '--direction must be minimize or maximize',
    ],
    [['results', 'scorer', 'a', 'b'], 'Too many arguments'],
    [['completion'], "Missing required argument 'shell'"],
    [['completion', 'bsh'], 'There is no completion for the shell bsh', 'Did you mean bash?'],
  ])('%j', async (argv, ...expected) => {
    const { code, stdout, stderr } = await runMain(argv)
    expect(code).toBe(2)
    expect(stdout).toBe('')
    for (const part of expected) expect(stderr).toContain(part)
    expect(stderr).not.toMatch(/^\s+at /m)
    expect(stderr).not.toContain('\u001b')
  })

  test('an error on stdin of a message file names line and column', async () => {
    const { code, stderr } = await runMain(['submit', 'evaluator', '--file', '-'], {
      stdin: '{\n "MatchID": nope }',
    })
    expect(code).toBe(2)
    expect(stderr).toContain('line 2, column 13')
  })

  test.each([
    ['[]', '--file holds no JSON object'],
    ['{"MatchID": 1}', '--file: MatchID is no text'],
    [`{"MatchID": "${MATCH}"}`, '--file: ParticipantID is missing'],
    [`{"MatchID": "${MATCH}", "ParticipantID": "User#1"}`, '--file: Variable is missing'],
    [
      `{"MatchID": "${MATCH}", "ParticipantID": "User#1", "TrialNo": "x"}`,
      '--file: TrialNo: this names no trial',
    ],
    ['\u0000', '--file is not JSON'],
  ])('a message file of %j', async (stdin, expected) => {
    const { code, stderr } = await runMain(['submit', 'evaluator', '--file', '-'], { stdin })
    expect(code).toBe(2)
    expect(stderr).toContain(expected)
  })
})

describe('settings', () => {
  test('config check shows every mistake and ends with 78', async () => {
    const { code, stdout, stderr } = await runMain(['config', 'check', '-c', broken])
    expect({ code, stdout }).toEqual({ code: 78, stdout: '' })
    expect(stderr).toContain(`${broken}:1:1: interval must be seconds`)
    expect(stderr).toContain('exit: 78')
  })

  test('config check passes a good file, with its warnings', async () => {
    expect(await runMain(['config', 'check', '-c', config])).toEqual({
      code: 0,
      stdout: `${config} is fine\n`,
      stderr: '',
    })
    const doubtful = join(folder, 'doubtful.yml')
    await writeFile(doubtful, 'intervall: 3\n')
    const loose = await runMain(['config', 'check', '-c', doubtful])
    expect(loose.code).toBe(0)
    expect(loose.stderr).toContain('warning: ')
    expect(loose.stderr).toContain('did you mean "interval"?')
    expect(loose.stdout).toContain('is fine, with 1 warning')
    expect((await runMain(['config', 'check', '--strict', '-c', doubtful])).code).toBe(78)
  })

  test('config check --json is one document', async () => {
    const bad = await runMain(['config', 'check', '--json', '-c', broken])
    expect(bad.code).toBe(78)
    expect(JSON.parse(bad.stdout)).toMatchObject({ ok: false, problems: [{ path: ['interval'] }] })
    const good = await runMain(['config', 'check', '--json', '-c', config])
    expect(JSON.parse(good.stdout)).toEqual({ ok: true, problems: [] })
  })

  test('config schema prints the JSON Schema', async () => {
    const { code, stdout } = await runMain(['config', 'schema'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ type: 'object', properties: { interval: {} } })
  })

  test('a runner without what it needs ends with 78, naming the keys', async () => {
    const { code, stderr } = await runMain(['evaluator', '-c', config])
    expect(code).toBe(78)
    for (const key of ['evaluator_queue_url', 'table_name', 'region_name'])
      expect(stderr).toContain(`${key} is missing`)
    expect(stderr).not.toContain('scorer_queue_url')
  })

  test('forward makes the evaluator need the queue of the scorer', async () => {
    const { stderr } = await runMain(['evaluator', '-c', config], {
      environment: { OPTHUB_RUNNER_FORWARD: 'yes' },
    })
    expect(stderr).toContain('scorer_queue_url is missing')
  })

  test('a file that was named must be there, -d names one', async () => {
    const { code, stderr } = await runMain(['scorer', '--local', '-c', join(folder, 'none.yml')])
    expect(code).toBe(78)
    expect(stderr).toContain('none.yml: does not exist')
    expect((await runMain(['scorer', '--local', '--dev'])).stderr).toContain('config.dev.yml: does not exist')
  })

  test('errors are JSON lines with --json', async () => {
    const { stderr } = await runMain(['evaluator', '--json', '-c', broken])
    const line = JSON.parse(stderr) as Record<string, unknown>
    expect(line).toMatchObject({ level: 'CRITICAL', exit_code: 78 })
    expect(line['msg']).toContain('mistakes')
  })

  test('colours follow FORCE_COLOR, then NO_COLOR, then the terminal', async () => {
    const see = async (columns: number | undefined, environment: Record<string, string>) =>
      (await runMain(['nope'], { environment, ...(columns !== undefined && { columns }) })).stderr.includes(
        '\u001b[',
      )
    expect(await see(undefined, {})).toBe(false)
    expect(await see(80, {})).toBe(true)
    expect(await see(80, { NO_COLOR: '1' })).toBe(false)
    expect(await see(undefined, { FORCE_COLOR: '1' })).toBe(true)
    expect(await see(80, { FORCE_COLOR: '0' })).toBe(false)
    expect(await see(80, { TERM: 'dumb' })).toBe(false)
  })
})

describe('completion', () => {
  test.each(['bash', 'zsh', 'fish'])('%s knows verbs, second words and options', async (shell) => {
    const { code, stdout } = await runMain(['completion', shell])
    expect(code).toBe(0)
    for (const word of ['evaluator', 'results', 'schema', 'drain-queue', 'participant', 'zsh'])
      expect(stdout).toContain(word)
  })
})
