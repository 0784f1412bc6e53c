import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig, type LoadOptions } from '../../../src/config/load.ts'
import { ConfigError, formatProblem } from '../../../src/config/problem.ts'

let folder: string
let file: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'opthub-config-'))
  file = join(folder, 'config.yml')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function load(content: string | Uint8Array | undefined, options: Partial<LoadOptions> = {}) {
  if (content !== undefined) await writeFile(file, content, { mode: 0o600 })
  return loadConfig({ file, required: false, environment: {}, flags: {}, ...options })
}

/** The problems of a refused config, each as one line without the folder. */
async function mistakes(
  content: string | Uint8Array | undefined,
  options: Partial<LoadOptions> = {},
): Promise<string[]> {
  const error = await load(content, options).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError, got ${String(error)}`)
  return error.problems.map((problem) => formatProblem(problem).replace(`${folder}/`, ''))
}

async function warnings(content: string, options: Partial<LoadOptions> = {}): Promise<string[]> {
  const loaded = await load(content, options)
  return loaded.warnings.map((problem) => formatProblem(problem).replace(`${folder}/`, ''))
}

describe('values', () => {
  test('a file of the Python runner loads unchanged', async () => {
    const { config, warnings } = await load(
      [
        'interval: 2',
        'timeout: 43200',
        'rm: True',
        'num: 0',
        'log_level: debug',
        'force: no',
        'evaluator_queue_url: https://sqs.ap-northeast-1.amazonaws.com/123456789012/evaluator',
        'scorer_queue_url: ""',
        'access_key_id: AKIAEXAMPLE',
        'secret_access_key: 0123',
        'region_name: ap-northeast-1',
        'table_name: opthub',
      ]
        .filter((line) => !line.startsWith('scorer'))
        .join('\r\n'),
    )
    expect(warnings).toEqual([])
    expect(config).toMatchObject({
      rm: true,
      force: false,
      log_level: 'DEBUG',
      secret_access_key: '0123',
      timeout: 43200,
      table_name: 'opthub',
    })
  })

  test.each([
    ['yes', true],
    ['Yes', true],
    ['ON', true],
    ['True', true],
    ['off', false],
    ['No', false],
    ['FALSE', false],
    ['n', false],
  ])('rm: %s is %s, as YAML 1.1 has it', async (text, value) => {
    expect((await load(`rm: ${text}`)).config.rm).toBe(value)
  })

  test.each([
    ['1_000', 1000],
    ['0x10', 16],
    ['010', 8],
    ['1:30', 90],
    ['+5', 5],
    ['2e3', 2000],
  ])('num: %s is %d, as YAML 1.1 has it', async (text, value) => {
    expect((await load(`num: ${text}`)).config.num).toBe(value)
  })

  test.each([
    ['90', 90],
    ['1.5', 1.5],
    ['90s', 90],
    ['10m', 600],
    ['12h', 43200],
    ['500ms', 0.5],
    ['12:00:00', 43200],
  ])('timeout: %s is %d seconds', async (text, value) => {
    expect((await load(`timeout: ${text}`)).config.timeout).toBe(value)
  })

  test.each([
    ['16777216', 16777216],
    ['16 MiB', 16777216],
    ['16MB', 16777216],
    ['512k', 524288],
    ['0.25g', 268435456],
    ['2048b', 2048],
  ])('max_output: %s is %d bytes', async (text, value) => {
    expect((await load(`max_output: ${text}`)).config.max_output).toBe(value)
  })

  test.each([
    ['WARN', 'WARNING'],
    ['error', 'ERROR'],
    ['Critical', 'CRITICAL'],
  ])('log_level: %s is %s', async (text, value) => {
    expect((await load(`log_level: ${text}`)).config.log_level).toBe(value)
  })

  test('inside blocks text stays as it was written', async () => {
    const { config } = await load(`
matches:
  "*":
    problem:
      image: p
      environment: {RATE: 0.10, COUNTRY: no, EMPTY: "", BIG: 12345678901234567890, NULLISH: "null"}
`)
    expect(config.matches['*']?.problem?.environment).toEqual({
      RATE: '0.10',
      COUNTRY: 'no',
      EMPTY: '',
      BIG: '12345678901234567890',
      NULLISH: 'null',
    })
  })

  test.each([
    ['gpus: 2', 2],
    ['gpus: "0x2"', 2],
    ['gpus: ALL', 'all'],
    ['gpus: [GPU-1a, MIG-GPU-2b/1/0]', ['GPU-1a', 'MIG-GPU-2b/1/0']],
    ['gpus: GPU-1a, GPU-2b', ['GPU-1a', 'GPU-2b']],
    ['num: 1', 0],
  ])('%s', async (content, gpus) => {
    expect((await load(content)).config.gpus).toEqual(gpus)
    const match = content.replace(/^/gm, '      ')
    const { config } = await load(
      `matches:\n  "*":\n    problem:\n      image: p\n${match.replace('num: 1', '')}`,
    )
    expect(config.matches['*']?.problem?.gpus).toEqual(content === 'num: 1' ? undefined : gpus)
  })

  test.each([
    ['-1', 'gpus must be a number of GPUs from 0 to 1024, all, or a list of their UUIDs'],
    ['1.5', 'gpus must be a number of GPUs'],
    ['some', 'gpus must be a number of GPUs'],
    ['[]', 'gpus must be a number of GPUs'],
    ['[0]', 'gpus.0 must be a UUID as `nvidia-smi -L` shows it'],
    ['[GPU-1 a]', 'gpus.0 must be a UUID'],
    ['[GPU-1, /dev/nvidia0]', 'gpus.1 must be a UUID'],
  ])('gpus: %s is refused', async (value, words) => {
    expect(await mistakes(`gpus: ${value}`)).toEqual([expect.stringContaining(words)])
    expect(await mistakes(`docker: {gpus: ${value}}`)).toEqual([expect.stringContaining('docker.gpus')])
  })

  test('keys without a value have their default', async () => {
    const { config } = await load('interval:\nlimits:\ndocker: ~\nlog_level: null\n')
    expect(config).toMatchObject({ interval: 2, limits: {}, docker: {}, log_level: 'INFO' })
  })

  test('a URL for both services, or one for each', async () => {
    const one = await load('endpoint_url: http://127.0.0.1:4566')
    expect(one.config.endpoint_url).toEqual({
      sqs: 'http://127.0.0.1:4566',
      dynamodb: 'http://127.0.0.1:4566',
    })
    const each = await load('endpoint_url: {sqs: "http://a:1"}')
    expect(each.config.endpoint_url).toEqual({ sqs: 'http://a:1' })
  })

  test('anchors, aliases and merges are followed', async () => {
    const { config } = await load(`
limits: &walls {cpus: 2, memory: 1g}
matches:
  "*":
    problem: {image: p, limits: {<<: *walls, memory: 2g}}
    indicator: {image: i, limits: *walls}
`)
    expect(config.matches['*']?.problem?.limits).toEqual({ cpus: 2, memory: 2 * 1024 ** 3 })
    expect(config.matches['*']?.indicator?.limits).toEqual({ cpus: 2, memory: 1024 ** 3 })
  })

  test('a short visibility shortens what was not written', async () => {
    const { config } = await load('visibility_timeout: 9')
    expect(config).toMatchObject({ heartbeat_interval: 3, wait_time: 3 })
  })
})

describe('precedence', () => {
  const yaml = 'timeout: 1\ninterval: 1\nnum: 1\n'
  const environment = { OPTHUB_RUNNER_TIMEOUT: '2', OPTHUB_RUNNER_INTERVAL: '2' }
  const flags = { timeout: { flag: '--timeout', value: '3' } }

  test('flags over environment over file over defaults', async () => {
    const { config } = await load(yaml, { environment, flags })
    expect(config).toMatchObject({ timeout: 3, interval: 2, num: 1, concurrency: 1 })
  })

  test('nested keys are merged one by one', async () => {
    const { config } = await load(
      'limits: {cpus: 1, memory: 1g}\nendpoint_url: http://both:1\nmatches: {"*": {problem: {image: a, environment: {Q: 1}}}}',
      {
        environment: {
          OPTHUB_RUNNER_LIMITS__MEMORY: '2g',
          OPTHUB_RUNNER_ENDPOINT_URL__SQS: 'http://other:2',
          'OPTHUB_RUNNER_MATCHES__*__PROBLEM__ENVIRONMENT__MixedCase': '1e3',
          OPTHUB_RUNNER_ALLOWED_IMAGES: 'a/*, b/*',
        },
      },
    )
    expect(config.limits).toEqual({ cpus: 1, memory: 2 * 1024 ** 3 })
    expect(config.endpoint_url).toEqual({ sqs: 'http://other:2', dynamodb: 'http://both:1' })
    expect(config.matches['*']?.problem?.environment).toEqual({ Q: '1', MixedCase: '1e3' })
    expect(config.allowed_images).toEqual(['a/*', 'b/*'])
  })

  test('a variable may hold a list or a map', async () => {
    const { config } = await load(undefined, {
      environment: {
        OPTHUB_RUNNER_MATCHES: '{"*": {"problem": {"image": "p"}}}',
        OPTHUB_RUNNER_ALLOWED_IMAGES: '["x", "y"]',
        OPTHUB_RUNNER_SECRET_ACCESS_KEY: '{odd]',
        OPTHUB_RUNNER_ACCESS_KEY_ID: '[odd',
      },
    })
    expect(config.matches['*']?.problem?.image).toBe('p')
    expect(config.allowed_images).toEqual(['x', 'y'])
    expect(config.secret_access_key).toBe('{odd]')
  })

  test('an empty variable is unset, the data folder is no setting', async () => {
    const { config, warnings } = await load('num: 4', {
      environment: { OPTHUB_RUNNER_NUM: '', OPTHUB_RUNNER_HOME: '/x' },
    })
    expect(config.num).toBe(4)
    expect(warnings).toEqual([])
  })

  test("AWS's own variables stand below the file", async () => {
    const environment = {
      AWS_ENDPOINT_URL_SQS: 'http://s:1',
      AWS_ENDPOINT_URL: 'http://all:1',
      AWS_REGION: 'eu-west-1',
    }
    const low = await load('num: 0', { environment })
    expect(low.config.endpoint_url).toEqual({ sqs: 'http://s:1', dynamodb: 'http://all:1' })
    expect(low.config.region_name).toBe('eu-west-1')
    const high = await load('endpoint_url: http://mine:1\nregion_name: us-east-2', { environment })
    expect(high.config.endpoint_url).toEqual({ sqs: 'http://mine:1', dynamodb: 'http://mine:1' })
    expect(high.config.region_name).toBe('us-east-2')
  })

  test("the region comes from the queue's URL when nothing names it", async () => {
    const { config } = await load('evaluator_queue_url: https://sqs.eu-north-1.amazonaws.com/1/q')
    expect(config.region_name).toBe('eu-north-1')
  })
})

describe('mistakes', () => {
  test('all of them at once, each with its place', async () => {
    const found = await mistakes(
      [
        'interval: -1',
        'timeout: soon',
        'rm: maybe',
        'limits:',
        '  memroy: 1g',
        '  cpus: [1]',
        'wait_time: 21',
      ].join('\n'),
      {
        environment: { OPTHUB_RUNNER_NUM: '1.5' },
        flags: { concurrency: { flag: '--concurrency', value: '0' } },
      },
    )
    expect(found.toSorted()).toEqual(
      [
        'config.yml:1:1: interval must be seconds from 0 to 3600, such as 90 or 10m, not "-1"',
        'config.yml:2:1: timeout must be seconds above 0, such as 90 or 10m, not "soon"',
        'config.yml:3:1: rm must be true or false, not "maybe"',
        'config.yml:5:3: the key "memroy" is unknown in limits (did you mean "memory"?)',
        'config.yml:6:3: limits.cpus must be a number above 0, not a list',
        'config.yml:7:1: wait_time must be a whole number from 0 to 20, not "21"',
        'OPTHUB_RUNNER_NUM: num must be a whole number of at least 0, not "1.5"',
        '--concurrency: concurrency must be a whole number from 1 to 1000, or auto, not "0"',
      ].toSorted(),
    )
  })

  test.each([
    ['max_output: 1x', 'config.yml:1:1: max_output must be a size from 1024 to 536870912 in bytes'],
    [
      'log_level: LOUD',
      'config.yml:1:1: log_level must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL, not "LOUD"',
    ],
    ['pull_policy: sometimes', 'pull_policy must be one of refresh, always, if-not-present, never'],
    ['evaluator_queue_url: opthub-queue', 'evaluator_queue_url must be the URL of a queue'],
    ['table_name: a b', 'table_name must be the name of a DynamoDB table'],
    ['region_name: "ap northeast"', 'region_name must be the name of an AWS region'],
    ['endpoint_url: "ftp://x"', 'endpoint_url.sqs must be a URL'],
    [
      'endpoint_url: {lambda: "http://x"}',
      'the key "lambda" is unknown in endpoint_url (known here: sqs, dynamodb, s3)',
    ],
    ['limits: 5', 'limits must be a map of limits, not "5"'],
    ['limits: {network: host}', 'limits.network must be one of default, none, not "host"'],
    ['limits: {memory: 1m}', 'limits.memory must be a size of at least 6291456'],
    ['limits: {ulimits: {nofile: x}}', 'limits.ulimits.nofile must be a whole number'],
    ['limits: {tmpfs: [/tmp]}', 'limits.tmpfs must be a map of paths to mount options, not a list'],
    ['limits: {platform: arm}', 'limits.platform must be a platform, such as linux/amd64, not "arm"'],
    ['matches: []', 'matches must be a map of match UUIDs, not a list'],
    ['matches: {foo: {problem: {image: a}}}', 'the key "foo" in matches must be the UUID of a match'],
    ['matches: {"*": {}}', 'the match * has neither problem nor indicator'],
    ['matches: {"*": {problem: {}}}', 'matches.*.problem.image is missing'],
    [
      'matches: {"*": {problem: {image: "a b"}}}',
      'matches.*.problem.image must be the name of an image, without blanks',
    ],
    ['matches: {"*": {problem: {image: a, command: "python3 x.py"}}}', 'must be a list of words'],
    [
      'matches: {"*": {problem: {image: a, environment: {X: }}}}',
      'environment.X must be text ("" for none), and has no value',
    ],
    [
      'matches: {"*": {problem: {image: a, timeout: 0}}}',
      'matches.*.problem.timeout must be seconds above 0',
    ],
    [
      'matches: {"*": {problem: {imag: a}}}',
      'the key "imag" is unknown in matches.*.problem (did you mean "image"?)',
    ],
    [
      'matches: {"*": {indicator: {image: a}, direction: up}}',
      'matches.*.direction must be one of minimize, maximize',
    ],
    [
      'visibility_timeout: 30\nheartbeat_interval: 20\nwait_time: 20',
      'together must stay well below visibility_timeout (30)',
    ],
    ['max_output: 2k\nmax_total_output: 1k', 'max_output is above max_total_output'],
    ['access_key_id: AKIA', 'access_key_id is set, but secret_access_key is not'],
    ['secret_access_key: s', 'secret_access_key is set, but access_key_id is not'],
    [
      'evaluator_queue_url: http://q/1\nscorer_queue_url: http://q/1',
      'scorer_queue_url is the same as evaluator_queue_url',
    ],
    ['limits: {cpus: 1, cpus: 2}', 'config.yml:1:19: the key "cpus" stands twice'],
    ['num: .inf', 'num must be a whole number'],
    ['num: 99999999999999999999', 'num must be a whole number'],
    ['__proto__: {a: 1}\ninterval: x', 'interval must be'],
  ])('%j', async (content, expected) => {
    expect((await mistakes(content)).join('\n')).toContain(expected)
  })

  test('what is needed is missed, with the file that is not there', async () => {
    const found = await mistakes(undefined, {
      needs: () => ['evaluator_queue_url', 'table_name', 'region_name', 'matches'],
    })
    expect(found).toHaveLength(5)
    expect(found[0]).toBe(
      'config.yml: does not exist (copy config.default.yml there, or name your file with --config)',
    )
    expect(found[1]).toContain('evaluator_queue_url is missing')
    expect(found[4]).toContain('matches is missing')
  })

  test('a file that nobody named may be absent', async () => {
    expect((await load(undefined)).warnings).toEqual([])
    expect(await mistakes(undefined, { required: true })).toEqual([
      expect.stringContaining('config.yml: does not exist'),
    ])
  })

  test('nothing is called missing that may stand in a file which could not be read', async () => {
    const needs = () => ['table_name', 'matches'] as const
    expect(await mistakes('table_name: "opthub', { needs })).toHaveLength(1)
    await rm(file)
    expect(await mistakes(undefined, { needs, required: true })).toHaveLength(1)
    expect(await mistakes('nonsense: [', { needs })).not.toContainEqual(expect.stringContaining('is missing'))
  })

  test('no secret is ever shown', async () => {
    const found = await mistakes(
      'secret_access_key: ["hush-hush"]\naccess_key_id: "hush\\thush"\nmatches: {"*": {problem: {image: p, environment: {K: [hush]}}}}',
    )
    expect(found.length).toBeGreaterThanOrEqual(3)
    expect(found.join()).not.toContain('hush')
  })

  test('mistakes of flags alone are mistakes of usage', async () => {
    const failure = load('num: 1', { flags: { num: { flag: '--num', value: 'x' } } })
    await expect(failure).rejects.toMatchObject({
      exitCode: 2,
      what: '--num: num must be a whole number of at least 0, not "x"',
    })
    await expect(load('num: y')).rejects.toMatchObject({ exitCode: 78 })
  })

  test('terminal control characters are shown as escapes', async () => {
    const found = await mistakes('log_level: "\\e[31mred"')
    expect(found[0]).toContain('\\\\x1b[31mred')
  })
})

describe('files that are none', () => {
  test.each<[string, string | Uint8Array, string]>([
    ['a list', '- a\n- b\n', 'config.yml:1:1: must be a map of keys to values'],
    ['a word', 'hello', 'config.yml:1:1: must be a map of keys to values'],
    ['binary', new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2, 0xff]), 'config.yml: is not text in UTF-8'],
    ['UTF-16', new Uint8Array([0xff, 0xfe, 0x61, 0, 0x3a, 0]), 'config.yml: is not text in UTF-8'],
    ['huge', `a: ${'x'.repeat(1024 ** 2)}`, 'config.yml: is larger than 1 MiB'],
    ['a broken quote', 'interval: "2', 'config.yml:1:13: is not valid YAML'],
    ['a broken flow', 'limits: {cpus: 1', 'config.yml:1:17: is not valid YAML'],
    [
      'a tab',
      'limits:\n\tcpus: 1\n',
      'config.yml:2:1: is not valid YAML: a tab stands where only blanks may',
    ],
    ['bad indentation', 'limits:\n  cpus: 1\n memory: 1g\n', 'config.yml:3:'],
    ['two documents', 'num: 1\n---\nnum: 2\n', 'is not valid YAML: it holds several documents'],
    ['an alias of nothing', 'limits: *walls\n', 'config.yml:1:9:'],
    ['a key that is a list', '? [a]\n: 1\n', 'has a key that is not text'],
  ])('%s', async (_, content, expected) => {
    const found = await mistakes(content)
    expect(found[0]).toContain(expected)
  })

  test.each(['', '# nothing\n\n'])(
    'a file without keys has the defaults, and is warned of: %j',
    async (content) => {
      const { config, warnings } = await load(content)
      expect(config.timeout).toBe(43_200)
      expect(warnings).toMatchObject([{ severity: 'warning', message: 'is empty' }])
    },
  )

  test('aliases that multiply are stopped', async () => {
    const levels = Array.from(
      { length: 12 },
      (_, level) => `a${level + 1}: &a${level + 1} [${`*a${level}, `.repeat(9)}]`,
    )
    const found = await mistakes(['a0: &a0 [x]', ...levels].join('\n'))
    expect(found.filter((line) => line.includes('multiply without end'))).toHaveLength(1)
  })

  test('an alias of itself is stopped', async () => {
    expect((await mistakes('limits: &l {tmpfs: *l}'))[0]).toBeDefined()
  })

  test('a folder', async () => {
    await mkdir(file)
    expect(await mistakes(undefined)).toEqual(['config.yml: is a folder (name the file itself)'])
  })

  test('a byte order mark and CRLF are fine', async () => {
    const { config } = await load('\ufeffnum: 3\r\nrm: off\r\n')
    expect(config).toMatchObject({ num: 3, rm: false })
  })
})

describe('warnings', () => {
  test('unknown and doubled keys, with the nearest name', async () => {
    const content = 'intervall: 3\nnum: 1\nnum: 2\nwholly_unknown_thing: 1\n'
    expect((await warnings(content)).toSorted()).toEqual([
      'config.yml:1:1: the key "intervall" is unknown, and is ignored (did you mean "interval"?)',
      'config.yml:3:1: the key "num" stands twice; the last one counts (keep one of them)',
      'config.yml:4:1: the key "wholly_unknown_thing" is unknown, and is ignored',
    ])
    expect((await load(content)).config).toMatchObject({ num: 2, interval: 2 })
    expect(await mistakes(content, { strict: true })).toHaveLength(3)
  })

  test('an unknown variable', async () => {
    expect(await warnings('num: 0', { environment: { OPTHUB_RUNNER_TIMOUT: '1' } })).toEqual([
      'OPTHUB_RUNNER_TIMOUT: is no setting, and is ignored (did you mean OPTHUB_RUNNER_TIMEOUT?)',
    ])
  })

  test('a timeout above 12 hours, not one of exactly 12', async () => {
    expect(await warnings('timeout: 43200')).toEqual([])
    expect((await warnings('timeout: 43201'))[0]).toContain('timeout is above 43200')
    expect((await mistakes('timeout: 43201\nnum: x', { strict: true })).join()).not.toContain('43200')
  })

  test('a file with a secret that others may read', async () => {
    const content = 'access_key_id: a\nsecret_access_key: s\n'
    expect(await warnings(content)).toEqual([])
    await chmod(file, 0o644)
    expect((await warnings(content))[0]).toContain(
      'config.yml: holds a secret and may be read by other users',
    )
    await chmod(file, 0o644)
    expect(await warnings('num: 1')).toEqual([])
  })

  test.each([
    'matches: {"*": {problem: {image: p, environment: {DB_PASSWORD: hunter2hunter2}}}}',
    'matches: {"*": {indicator: {image: i, environment: {API_KEY: "ab 34567"}}}}',
    'inference: {image: m, environment: {HF_TOKEN: hf_0123456789}}',
    'inference: {url: "http://localhost:1", api_key: sk-1}',
  ])('a secret that stands in %s', async (content) => {
    await writeFile(file, content)
    await chmod(file, 0o644)
    expect((await warnings(content)).join()).toContain('holds a secret and may be read by other users')
  })

  test.each([
    'matches: {"*": {problem: {image: p, environment: {MODE: thorough-mode, MAX_TOKENS: 1000000, TOKENIZERS: off}}}}',
    'secret_access_key: env:MY_KEY\naccess_key_id: id\n',
    'matches: {"*": {problem: {image: p, environment: {PASSES: 3}}}}',
  ])('no secret stands in %s', async (content) => {
    await writeFile(file, content)
    await chmod(file, 0o644)
    expect(await warnings(content, { environment: { MY_KEY: 'secret' } })).toEqual([])
  })
})

describe('secrets', () => {
  test('from a variable and from a file beside the config', async () => {
    await writeFile(join(folder, 'key.txt'), 'the secret\n')
    const { config } = await load('access_key_id: env:MY_ID\nsecret_access_key: file:key.txt', {
      environment: { MY_ID: 'AK' },
    })
    expect(config).toMatchObject({ access_key_id: 'AK', secret_access_key: 'the secret' })
  })

  test('that are not there', async () => {
    const found = await mistakes('access_key_id: env:MY_ID\nsecret_access_key: file:none.txt')
    expect(found[0]).toContain('config.yml:1:1: access_key_id names the variable MY_ID, which is not set')
    expect(found[1]).toContain("config.yml:2:1: secret_access_key names a file that can't be read")
  })
})

describe('docker.registry_auth', () => {
  test('takes pairs and tokens, written, from variables and from files', async () => {
    await writeFile(join(folder, 'token'), 'of a file\n')
    const { config } = await load(
      [
        'docker:',
        '  registry_auth:',
        '    ghcr.io: {username: me, password: env:PASSWORD}',
        '    r.io:5000: file:token',
        '    s.io: {token: written}',
      ].join('\n'),
      { environment: { PASSWORD: 'of a variable' } },
    )
    expect(config.docker.registry_auth).toEqual({
      'ghcr.io': { username: 'me', password: 'of a variable' },
      'r.io:5000': { token: 'of a file' },
      's.io': { token: 'written' },
    })
    const variable = { OPTHUB_RUNNER_DOCKER__REGISTRY_AUTH: '{"t.io": {"token": "env:TOKEN"}}', TOKEN: 't' }
    expect((await load('', { environment: variable })).config.docker.registry_auth).toEqual({
      't.io': { token: 't' },
    })
  })

  test.each([
    ['{ghcr.io: {username: me}}', 'the login for ghcr.io in docker.registry_auth is neither'],
    ['{ghcr.io: {}}', 'the login for ghcr.io in docker.registry_auth is neither'],
    [
      '{ghcr.io: {username: me, password: p, token: t}}',
      'is neither a username with its password nor a token',
    ],
    ['{ghcr.io: {usernme: me, password: p}}', 'did you mean "username"?'],
    [
      '{ghcr.io: env:NOT_SET}',
      'docker.registry_auth.ghcr.io.token names the variable NOT_SET, which is not set',
    ],
    ['{"a b": {token: t}}', 'must be the host of a registry, such as ghcr.io'],
    ['[ghcr.io]', 'docker.registry_auth must be a map of registries to logins'],
  ])('refuses %s', async (logins, said) => {
    expect((await mistakes(`docker: {registry_auth: ${logins}}`)).join()).toContain(said)
  })
})

describe('min_free_disk', () => {
  test.each([
    ['512m', 512 * 1024 ** 2],
    ['0', 0],
    ['10 GiB', 10 * 1024 ** 3],
  ])('%s', async (text, bytes) => {
    expect((await load(`min_free_disk: ${text}`)).config.min_free_disk).toBe(bytes)
  })
  test('refuses what is no size', async () => {
    expect((await mistakes('min_free_disk: -1'))[0]).toContain('a size of at least 0 in bytes')
  })
})
