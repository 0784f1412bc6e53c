import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.ts'
import { readYaml } from '../../../src/config/read-yaml.ts'
import { CONFIG_KEYS, configSchema, keysAt } from '../../../src/config/schema.ts'

const FILE = 'config.default.yml'
const source = readFileSync(FILE, 'utf8')
const lines = source.split('\n')

describe('config.default.yml', () => {
  test('sets every key that has a default, to that default, and nothing else', async () => {
    const { config, warnings } = await loadConfig({
      file: FILE,
      required: true,
      environment: {},
      flags: {},
      strict: true,
    })
    expect(warnings).toEqual([])
    expect(config).toEqual(configSchema.parse({}))
    const { tree } = readYaml(source, FILE)
    expect(Object.keys(tree).toSorted()).toEqual(Object.keys(configSchema.parse({})).toSorted())
  })

  test('lists every key without a default as a commented line', () => {
    const commented = lines.flatMap((line) => /^# ([a-z_]+): /.exec(line)?.[1] ?? [])
    const withDefault = new Set(Object.keys(configSchema.parse({})))
    expect(commented.toSorted()).toEqual(CONFIG_KEYS.filter((key) => !withDefault.has(key)).toSorted())
  })

  test('gives each key a line of comment', () => {
    const bare = lines.filter((line) => /^(# )?[a-z_]+:/.test(line) && !/ # \S/.test(line.slice(1)))
    expect(bare).toEqual([])
  })

  test.each(['limits', 'docker', 'opthub', 'code_exec', 'inference', 'fetcher'])(
    'lists the keys of %s',
    (block) => {
      const start = lines.findIndex((line) => line.startsWith(`${block}:`))
      const inside = lines.slice(start + 1)
      const end = inside.findIndex((line) => !line.startsWith('#  '))
      const keys = inside.slice(0, end).flatMap((line) => /^# {2}([a-z_]+):/.exec(line)?.[1] ?? [])
      expect(keys).toEqual(keysAt([block]))
    },
  )

  test('is valid with every example uncommented', () => {
    const example = source
      .replace(/^(limits|matches|docker|opthub|code_exec|inference|fetcher): \{\}/gm, '$1:')
      .replace(/^#( {2}.*)$/gm, '$1')
      .replace(/^# (evaluator_queue_url|scorer_queue_url|table_name|region_name): /gm, '$1: ')
    const { tree, problems } = readYaml(example, FILE)
    expect(problems).toEqual([])
    const config = configSchema.parse(tree)
    expect(config.matches['*']?.problem).toEqual({
      image: 'my-problem:1',
      command: ['python3', 'main.py'],
      environment: { DIMENSION: '10' },
      timeout: 600,
      limits: { memory: 1024 ** 3 },
      gpus: 1,
      inputs: [{ path: 'data.csv', url: 's3://bucket/data.csv' }],
    })
    expect(config.limits).toMatchObject({
      cpus: 2,
      memory: 4 * 1024 ** 3,
      read_only: true,
      user: '1000:1000',
    })
    expect(config.evaluator_queue_url).toContain('https://sqs.')
  })
})
