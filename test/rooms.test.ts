import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '..')
const SRC = join(ROOT, 'src')

/** Files that only declare what a leaf must be able to do. */
const INTERFACES = new Set([
  'queues/queue.ts',
  'stores/store.ts',
  'executors/executor.ts',
  'matches/matches.ts',
  'files/files.ts',
  'models/protocol.ts',
])

/** What each room may import besides itself and node:. Arrows never turn back (docs/architecture.md). */
const MAY_IMPORT: Record<string, readonly string[]> = {
  interface: ['core'],
  core: ['interface'],
  policy: ['interface', 'core'],
  records: ['interface', 'core'],
  aws: ['core', 'net'],
  net: ['core'],
  config: ['core', 'interface'],
  demo: ['core'],
  embedded: ['core'],
  processes: ['core'],
  metrics: ['core'],
  'queues/sqs': ['interface', 'core', 'aws'],
  'queues/worker-api': ['interface', 'core', 'net'],
  'stores/dynamodb': ['interface', 'core', 'aws', 'policy'],
  'executors/docker': ['interface', 'core'],
  'matches/local': ['interface', 'core'],
  'matches/opthub': ['interface', 'core', 'net'],
  'files/http': ['interface', 'core', 'net'],
  'files/s3': ['interface', 'core', 'aws'],
  'files/file': ['interface', 'core'],
  'models/http': ['interface', 'core', 'policy', 'net'],
  'models/grpc': ['interface', 'core', 'policy'],
  'models/tokenizers': ['interface', 'core'],
  kinds: ['interface', 'core', 'policy', 'records'],
  app: [
    'interface',
    'core',
    'policy',
    'records',
    'aws',
    'config',
    'kinds',
    'embedded',
    'queues/sqs',
    'queues/worker-api',
    'stores/dynamodb',
    'executors/docker',
    'matches/local',
    'matches/opthub',
    'files/http',
    'files/s3',
    'files/file',
    'models/http',
    'models/grpc',
    'models/tokenizers',
  ],
  index: ['app', 'config', 'core', 'interface'],
  cli: [
    'app',
    'interface',
    'policy',
    'core',
    'records',
    'config',
    'demo',
    'embedded',
    'kinds',
    'metrics',
    'processes',
    'executors/docker',
    'matches/opthub',
  ],
}

/** Packages that may be named in one place only. */
const VENDORS: Record<string, readonly string[]> = {
  dockerode: ['executors/docker'],
  'tar-stream': ['executors/docker'],
  'https-proxy-agent': ['net'],
  'proxy-from-env': ['net'],
  '@aws-sdk/client-sqs': ['queues/sqs'],
  '@aws-sdk/client-dynamodb': ['stores/dynamodb'],
  '@aws-sdk/client-s3': ['files/s3'],
  '@aws-sdk/lib-storage': ['files/s3'],
  '@grpc/grpc-js': ['models/grpc'],
  '@grpc/proto-loader': ['models/grpc'],
  '@huggingface/tokenizers': ['models/tokenizers'],
  dynalite: ['embedded'],
  'classic-level': ['embedded'],
  'aws-jwt-verify': ['matches/opthub'],
  '@napi-rs/keyring': ['matches/opthub'],
  commander: ['cli'],
  '@inquirer/prompts': ['cli'],
  chalk: ['cli'],
  yaml: ['config'],
  zod: ['config'],
  'prom-client': ['metrics'],
}

function roomOf(file: string): string {
  if (INTERFACES.has(file)) return 'interface'
  const [first = '', second = ''] = file.split('/')
  if (['app.ts', 'app', 'image-runner.ts'].includes(first)) return 'app'
  if (first === 'index.ts') return 'index'
  // What stands beside an interface file is policy: written once, for every driver below.
  if (['queues', 'stores', 'executors', 'matches', 'files', 'models'].includes(first)) {
    return file.split('/').length === 2 ? 'policy' : `${first}/${second}`
  }
  return first
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))

function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), 'utf8')
  return [...text.matchAll(/(?:^|[\s;}])(?:from|import)[\s(]+'([^']+)'/g)].map((match) => match[1] ?? '')
}

describe('the rooms of src/', () => {
  it('are all known', () => {
    expect(files.length).toBeGreaterThan(20)
    expect([...new Set(files.map(roomOf))].filter((room) => !(room in MAY_IMPORT))).toEqual([])
  })

  it('import only downwards', () => {
    const wrong: string[] = []
    for (const file of files) {
      const room = roomOf(file)
      for (const specifier of importsOf(file)) {
        if (!specifier.startsWith('.')) continue
        const target = relative(SRC, resolve(SRC, dirname(file), specifier))
        // The package's own folders beside src/ (package.json) are nobody's room.
        if (target.startsWith('..')) continue
        const targetRoom = roomOf(target)
        if (targetRoom !== room && !MAY_IMPORT[room]?.includes(targetRoom)) wrong.push(`${file} → ${target}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it('name a vendor only in its own leaf', () => {
    const wrong: string[] = []
    for (const file of files) {
      for (const specifier of importsOf(file)) {
        if (specifier.startsWith('.') || specifier.startsWith('node:')) continue
        const name = specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/')
        if (!(VENDORS[name] ?? []).includes(roomOf(file))) wrong.push(`${file} → ${specifier}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it('read the environment only in config and cli', () => {
    const wrong = files.filter((file) => {
      const room = roomOf(file)
      return (
        room !== 'cli' && room !== 'config' && /\bprocess\.env\b/.test(readFileSync(join(SRC, file), 'utf8'))
      )
    })
    expect(wrong).toEqual([])
  })
})
