import { describe, expect, test } from 'vitest'
import { CONFIG_KEYS, configJsonSchema, keysAt } from '../../../src/config/schema.ts'
import { dataFolder } from '../../../src/config/paths.ts'

describe('the JSON Schema', () => {
  const schema = configJsonSchema() as {
    properties: Record<string, Record<string, unknown>>
    required?: string[]
  }

  test('knows every key, with a description and its default, and requires none', () => {
    expect(Object.keys(schema.properties)).toEqual(CONFIG_KEYS)
    for (const property of Object.values(schema.properties))
      expect(JSON.stringify(property)).toContain('"description"')
    expect(JSON.stringify(schema.properties['timeout'])).toContain('43200')
    expect(schema.required).toBeUndefined()
    expect(JSON.stringify(schema)).not.toContain('"also"')
  })

  test('allows the other spellings that the loader reads', () => {
    expect(JSON.stringify(schema.properties['max_output'])).toContain('"type":"string"')
    expect(JSON.stringify(schema.properties['endpoint_url'])).toContain('"type":"string"')
    expect(JSON.stringify(schema.properties['rm'])).toContain('boolean')
  })

  test('requires an image of each recipe, path and URL of each file, and nothing else', () => {
    const required = [...JSON.stringify(schema).matchAll(/"required":(\[[^\]]*\])/g)].map((found) => found[1])
    expect(new Set(required)).toEqual(new Set(['["image"]', '["path","url"]']))
  })
})

test('the keys of a block are known by its path', () => {
  expect(keysAt(['matches', 'x', 'problem'])).toEqual([
    'image',
    'command',
    'environment',
    'timeout',
    'limits',
    'gpus',
    'inputs',
  ])
  expect(keysAt(['matches', 'x', 'problem', 'environment'])).toBeUndefined()
  expect(keysAt(['nonsense', 'x'])).toBeUndefined()
})

test.each([
  [{ OPTHUB_RUNNER_HOME: '/data/here' }, 'linux', '/data/here'],
  [{ XDG_DATA_HOME: '/xdg' }, 'linux', '/xdg/opthub-runner'],
  [
    { XDG_DATA_HOME: 'relative' },
    'linux',
    expect.stringMatching(/\/\.local\/share\/opthub-runner$/) as string,
  ],
  [{}, 'darwin', expect.stringContaining('Application Support') as string],
])('the data folder of %j on %s', (environment, platform, expected) => {
  expect(dataFolder(environment, platform)).toEqual(expected)
})
