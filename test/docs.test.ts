import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import manifest from '../package.json' with { type: 'json' }
import { createCommand } from '../src/cli/command.ts'
import { SHELLS } from '../src/cli/completion.ts'
import { createSession } from '../src/cli/io.ts'
import { VERBS } from '../src/cli/verbs.ts'
import { loadConfig } from '../src/config/load.ts'
import { configSchema, keysAt } from '../src/config/schema.ts'
import { EXIT } from '../src/core/errors.ts'
import { KNOWN_DIFFERENCES } from './contract/dynamodb-differences.ts'
import { FakeIo } from './support/fake-io.ts'
import { codeBlocks, codeSpans, headings, links, sections, tableRows } from './support/markdown.ts'

const ROOT = resolve(import.meta.dirname, '..')
const NOT_OURS = new Set(['node_modules', 'dist', 'coverage', 'shared'])

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

function markdownBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.name.startsWith('.') || NOT_OURS.has(entry.name)) return []
    if (entry.isDirectory()) return markdownBelow(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}

const files = markdownBelow('')

/** What stands in backticks in the first cells of the tables that have this header. */
function named(markdown: string, ...headers: string[]): string[] {
  return tableRows(markdown)
    .filter(({ header }) => headers.includes(header))
    .flatMap(({ cells }) => codeSpans(cells[0] ?? ''))
}

/** The commands of the program: a verb, or a verb and its second word. */
async function allCommands(): Promise<Map<string, Command>> {
  const io = new FakeIo()
  const found = new Map<string, Command>()
  for (const verb of VERBS) {
    const command = createCommand(verb, io)
    const { define } = await verb.load()
    define(command, createSession(io))
    if (command.commands.length === 0) found.set(verb.name, command)
    for (const inner of command.commands) found.set(`${verb.name} ${inner.name()}`, inner)
  }
  return found
}

const commands = await allCommands()

describe('docs/configuration.md', () => {
  const text = read('docs/configuration.md')
  const rows = tableRows(text).filter(({ header }) => header === 'key')

  /** Every key as the page names it. The maps of a match that have the keys of another map are told once. */
  function keysBelow(path: readonly string[]): string[] {
    const keys = keysAt(path) ?? (keysAt([...path, '*']) === undefined ? [] : ['*'])
    return keys.flatMap((key) => {
      const inner = [...path, key]
      const name = inner.join('.').replace('*', '<id>')
      const isToldElsewhere = /^matches\..*\.(indicator|limits)$/.test(name)
      return [...(key === '*' ? [] : [name]), ...(isToldElsewhere ? [] : keysBelow(inner))]
    })
  }

  it('has every key, and no other', () => {
    expect(keysAt(['matches', '*', 'indicator'])).toEqual(keysAt(['matches', '*', 'problem']))
    expect(keysAt(['matches', '*', 'problem', 'limits'])).toEqual(keysAt(['limits']))
    expect(named(text, 'key').toSorted()).toEqual(keysBelow([]).toSorted())
  })

  it('has the defaults', () => {
    const told = rows.map(({ cells: [key = '', , value = ''] }) => [
      key.replaceAll('`', ''),
      value.replaceAll('`', ''),
    ])
    const wrong = Object.entries(configSchema.shape).filter(([key, schema]) => {
      const value = new Map(told as [string, string][]).get(key) ?? ''
      const meant: unknown = value === '–' ? undefined : /^[[{]/.test(value) ? JSON.parse(value) : value
      return JSON.stringify(schema.parse(meant)) !== JSON.stringify(schema.parse(undefined))
    })
    expect(wrong.map(([key]) => key)).toEqual([])
  })

  it('has every environment variable, and no other', () => {
    const platforms = ['HOME', 'USERPROFILE', 'SystemRoot', 'LOCALAPPDATA']
    const source = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => read(join('src', name)))
      .join('\n')
    const literals = /environment\['(\w+)'\]|'(OPTHUB_\w+[A-Z])'/g
    const used = [...source.matchAll(literals)].map(([, one, other]) => one ?? other ?? '')
    const told = named(text, 'variable')
    expect([...new Set(used)].filter((name) => !platforms.includes(name) && !told.includes(name))).toEqual([])
    const ofTheSdk = tableRows(text).filter(({ cells }) => cells[1]?.includes('read by the AWS SDK'))
    const known = ofTheSdk.flatMap(({ cells }) => codeSpans(cells[0] ?? ''))
    expect(told.filter((name) => !known.includes(name) && !source.includes(name))).toEqual([])
  })
})

describe('docs/errors.md', () => {
  const text = read('docs/errors.md')
  const source = read('src/core/errors.ts')

  /** The members of a union of texts. */
  function union(name: string): string[] {
    const [, declaration = ''] = new RegExp(`export type ${name} =(.*?)\\n\\n`, 's').exec(source) ?? []
    return [...declaration.matchAll(/'(\w+)'/g)].map(([, member = '']) => member).toSorted()
  }

  it('has every code of a failed job, and no other', () => {
    expect(union('JobErrorCode').length).toBeGreaterThan(5)
    expect(named(text, 'code').toSorted()).toEqual(union('JobErrorCode'))
  })

  it('has every surrounding, and no other', () => {
    expect(union('Surrounding').length).toBeGreaterThan(3)
    expect(named(text, 'surrounding').toSorted()).toEqual(union('Surrounding'))
  })

  it('has every class of errors, and no other', () => {
    const classes = [...source.matchAll(/export class (\w+)/g)].map(([, name = '']) => name)
    expect(named(text, 'class').toSorted()).toEqual(classes.toSorted())
  })

  it('has every exit code, and no other', () => {
    const told = tableRows(text).flatMap(({ header, cells: [cell = ''] }) =>
      header === 'code' && /^\d+$/.test(cell) ? [Number(cell)] : [],
    )
    expect(told).toEqual(Object.values(EXIT).toSorted((a, b) => a - b))
  })
})

describe('docs/security.md', () => {
  it('names a test for every wall, and each is there', () => {
    const walls = tableRows(read('docs/security.md')).filter(({ header }) => header === 'wall')
    expect(walls.length).toBeGreaterThan(10)
    const tests = walls.map(({ cells }) => codeSpans(cells[2] ?? '')[0] ?? '')
    expect(tests.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  })
})

describe('docs/local.md', () => {
  it('has every known difference from DynamoDB Local, and no other', () => {
    const told = named(read('docs/local.md'), 'case')
    expect(told.toSorted()).toEqual(Object.keys(KNOWN_DIFFERENCES).toSorted())
  })
})

describe('docs/cli.md', () => {
  const told = sections(read('docs/cli.md')).map(({ heading, body }) => ({
    names: codeSpans(heading),
    body,
  }))

  it('has a section for every command, and no other', () => {
    expect(told.flatMap(({ names }) => names).toSorted()).toEqual([...commands.keys()].toSorted())
  })

  it.each([...commands])('has the flags of %s, and no other', (name, command) => {
    const section = told.find(({ names }) => names.includes(name))
    expect(named(section?.body ?? '', 'flag')).toEqual(command.options.map(({ flags }) => flags))
  })
})

describe.each(['README.md', 'README_ja.md'])('%s', (file) => {
  it('has every command, and no other', () => {
    const told = named(read(file), 'verb', 'コマンド').map((span) =>
      span
        .split(' ')
        .filter((word) => !/^[[<]/.test(word))
        .join(' '),
    )
    const names = [...commands.keys()].flatMap((name) =>
      name === 'completion' ? SHELLS.map((shell) => `${name} ${shell}`) : [name],
    )
    expect(told.toSorted()).toEqual(names.toSorted())
  })

  it('holds a config that works with AWS and without', async () => {
    const whole = codeBlocks(read(file))
      .filter(({ language }) => language === 'yaml')
      .map(({ text }) => text)
      .join('')
    const { config, warnings } = await load(whole)
    expect(warnings).toEqual([])
    expect(config.matches['*']?.indicator?.image).toBeDefined()
    expect(config.forward).toBe(true)
  })
})

/** The settings of a file with this text, with all that could be needed, every variable that it names being set. */
async function load(yaml: string) {
  const folder = await mkdtemp(join(tmpdir(), 'opthub-runner-docs-'))
  try {
    const file = join(folder, 'config.yml')
    await writeFile(file, yaml, { mode: 0o600 })
    const variables = [...yaml.matchAll(/env:(\w+)/g)].map(([, name = '']) => [name, 'secret'])
    return await loadConfig({
      file,
      required: true,
      environment: Object.fromEntries(variables) as Record<string, string>,
      flags: {},
      strict: true,
      needs: (config) =>
        config.table_name === undefined
          ? ['matches']
          : ['evaluator_queue_url', 'scorer_queue_url', 'table_name', 'region_name'],
    })
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('the configs of docs/', () => {
  const blocks = readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .flatMap((name) =>
      codeBlocks(read(join('docs', name))).flatMap(({ language, text }) =>
        language === 'yaml' ? [{ name, text }] : [],
      ),
    )

  it.each(blocks)('are right in $name', async ({ text }) => {
    expect((await load(text)).warnings).toEqual([])
  })
})

describe('README_ja.md', () => {
  const [english, japanese] = [read('README.md'), read('README_ja.md')]

  it('has the headings, code and links of README.md', () => {
    const levels = (text: string) => headings(text).map(({ level }) => level)
    expect(levels(japanese)).toEqual(levels(english))
    expect(codeBlocks(japanese)).toEqual(codeBlocks(english))
    const others = (text: string) => links(text).filter((target) => !target.startsWith('README'))
    expect(others(japanese)).toEqual(others(english))
  })

  it('has the tables of README.md', () => {
    const shape = (text: string) =>
      tableRows(text).map(({ cells }) => [cells.length, codeSpans(cells[0] ?? '')])
    expect(shape(japanese)).toEqual(shape(english))
  })
})

describe.each(files)('%s', (file) => {
  const text = read(file)

  it('links to what is there', () => {
    const broken = links(text).filter((link) => {
      if (/^[a-z]+:/.test(link)) return false
      const [path = '', anchor] = link.split('#', 2)
      const target = join(dirname(file), path)
      if (path !== '' && !existsSync(join(ROOT, target))) return true
      return (
        anchor !== undefined && !headings(read(path === '' ? file : target)).some((h) => h.anchor === anchor)
      )
    })
    expect(broken).toEqual([])
  })

  it('calls commands with flags that they have', () => {
    const shell = codeBlocks(text).flatMap((block) => (block.language === 'bash' ? [block.text] : []))
    const spans = codeSpans(text).filter((span) => span.startsWith('npx opthub-runner '))
    const calls = [...shell, ...spans].join('\n').matchAll(/(?:^|[\s(])opthub-runner (\S[^\n"`)>|]*)/g)
    const wrong = [...calls].flatMap(([, call = '']) => {
      const [own = ''] = call.split(' -- ')
      const words = own.replaceAll(/'[^']*'/g, '').split(/\s+/)
      const [verb = '', second = ''] = words
      if (/^(<|--help$|--version$)/.test(verb)) return []
      const command = commands.get(`${verb} ${second}`) ?? commands.get(verb)
      const known = ['--help', ...(command?.options ?? []).flatMap(({ long }) => long ?? [])]
      const isWrong = (word: string) => word.startsWith('--') && !known.includes(word)
      return command === undefined || words.some(isWrong) ? [call] : []
    })
    expect(wrong).toEqual([])
  })

  it('names scripts and files that are there', () => {
    const code = [...codeSpans(text), ...codeBlocks(text).map((block) => block.text)].join('\n')
    const scripts = [...code.matchAll(/npm run (\w+)/g)].map(([, name = '']) => name)
    expect(scripts.filter((name) => !(name in manifest.scripts))).toEqual([])
    const projects = [...code.matchAll(/vitest run --project (\w+)/g)].map(([, name = '']) => name)
    expect(projects.filter((name) => !existsSync(join(ROOT, 'test', name)))).toEqual([])
    const paths = codeSpans(text).flatMap(
      (span) => /^(?:src|test|docs|scripts|examples|bin)\/[\w./-]+/.exec(span)?.[0] ?? [],
    )
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  })
})
