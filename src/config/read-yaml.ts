import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Document,
  type ErrorCode,
  type Node,
  type Scalar,
  type YAMLParseError,
} from 'yaml'
import { escapeControls } from '../core/text.ts'
import type { ConfigProblem, Origin } from './problem.ts'

/** A setting before its meaning is known: text (null = written without a value), lists and maps of it. */
export type Raw = string | null | Raw[] | RawMap
export interface RawMap {
  [key: string]: Raw
}

/** Settings of one source and where each stands; `origins` is keyed by `pathKey`. */
export interface RawSettings {
  tree: RawMap
  origins: Map<string, Origin>
  problems: ConfigProblem[]
}

/** A path as a key of a map. */
export function pathKey(path: readonly (string | number)[]): string {
  return JSON.stringify(path.map(String))
}

/** Sets a key of its own, whatever its name: `__proto__` reaches no prototype. */
export function setOwn(map: RawMap, key: string, value: Raw): void {
  Object.defineProperty(map, key, { value, enumerable: true, writable: true, configurable: true })
}

/** Reads YAML text into raw settings; `file` is only named in problems. */
export function readYaml(source: string, file: string): RawSettings {
  const lines = new LineCounter()
  // Failsafe keeps every scalar as it was written: what it means is the schema's affair.
  const document = parseDocument(source, {
    schema: 'failsafe',
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
  })
  const settings: RawSettings = { tree: {}, origins: new Map(), problems: [] }
  const report = (
    offset: number,
    path: readonly string[],
    severity: ConfigProblem['severity'],
    message: string,
    hint: string,
  ) => {
    settings.problems.push({ severity, origin: position(lines, file, offset), path, message, hint })
  }
  for (const error of document.errors) {
    const [message, hint] = explainSyntax(error)
    report(error.pos[0], [], 'error', `is not valid YAML: ${message}`, hint)
  }
  if (settings.problems.length > 0) return settings
  const root = document.contents
  if (root === null || (isScalar(root) && isNull(root))) {
    // All defaults; what the work can't do without is asked for by name.
    settings.problems.push({
      ...wholeFile(file, 'is empty', 'write the keys that you need; config.default.yml lists them all'),
      severity: 'warning',
    })
  } else if (isMap(root)) {
    const raw = new Walker(
      document,
      (node, path) => settings.origins.set(pathKey(path), position(lines, file, offsetOf(node))),
      report,
    ).map(root, [])
    settings.tree = raw
  } else {
    report(
      offsetOf(root),
      [],
      'error',
      'must be a map of keys to values',
      'write lines such as `interval: 2`',
    )
  }
  return settings
}

/** A problem of the file itself. */
export function wholeFile(file: string, message: string, hint: string): ConfigProblem {
  return { severity: 'error', origin: { file }, path: [], message, hint }
}

type Report = (
  offset: number,
  path: readonly string[],
  severity: ConfigProblem['severity'],
  message: string,
  hint: string,
) => void

const MOST_NODES = 100_000
const DEEPEST = 50

/** Turns the syntax tree into raw settings. Aliases are followed, within bounds: they can multiply without end. */
class Walker {
  readonly #document: Document
  readonly #mark: (node: unknown, path: readonly string[]) => void
  readonly #report: Report
  #nodes = 0

  constructor(document: Document, mark: (node: unknown, path: readonly string[]) => void, report: Report) {
    this.#document = document
    this.#mark = mark
    this.#report = report
  }

  map(node: Node, path: readonly string[]): RawMap {
    const result: RawMap = {}
    if (!isMap(node)) return result
    const inherited: unknown[] = []
    for (const { key, value } of node.items) {
      if (!isScalar(key)) {
        this.#report(offsetOf(key), path, 'error', 'has a key that is not text', 'write keys as plain words')
      } else if (key.type === 'PLAIN' && key.value === '<<') {
        inherited.push(value)
      } else {
        this.#entry(result, key, value, [...path, String(key.value)])
      }
    }
    for (const value of inherited) this.#merge(result, value, [...path, '<<'])
    return result
  }

  #entry(result: RawMap, key: Scalar, value: unknown, path: readonly string[]): void {
    const name = path.at(-1) ?? ''
    if (Object.hasOwn(result, name)) {
      const severity = path.length === 1 ? 'warning' : 'error'
      const message = `the key "${shownKey(name)}" stands twice; the last one counts`
      this.#report(offsetOf(key), path, severity, message, 'keep one of them')
    }
    setOwn(result, name, this.#value(value, path))
    this.#mark(key, path)
  }

  #value(node: unknown, path: readonly string[]): Raw {
    this.#nodes += 1
    if (this.#nodes > MOST_NODES || path.length > DEEPEST) {
      if (this.#nodes !== Number.POSITIVE_INFINITY) {
        this.#report(
          offsetOf(node),
          path,
          'error',
          'holds too much, or aliases that multiply without end',
          'write the values out',
        )
      }
      this.#nodes = Number.POSITIVE_INFINITY
      return null
    }
    if (isAlias(node)) {
      const target = node.resolve(this.#document)
      if (target !== undefined) return this.#value(target, path)
      this.#report(
        offsetOf(node),
        path,
        'error',
        'begins with "*", which refers to an anchor that is not there',
        'put the value into quotes, or define the anchor above its use',
      )
      return null
    }
    if (isScalar(node)) return isNull(node) ? null : String(node.value)
    if (isMap(node)) return this.map(node, path)
    if (isSeq(node)) {
      return node.items.map((item, index) => {
        const inner = [...path, String(index)]
        this.#mark(item, inner)
        return this.#value(item, inner)
      })
    }
    return null
  }

  /** `<<: *other`: keys of the other map that are not written here. */
  #merge(target: RawMap, value: unknown, path: readonly string[]): void {
    const sources = this.#value(value, path)
    for (const source of Array.isArray(sources) ? sources : [sources]) {
      if (typeof source !== 'object' || source === null || Array.isArray(source)) continue
      for (const [key, inherited] of Object.entries(source)) {
        if (!Object.hasOwn(target, key)) setOwn(target, key, inherited)
      }
    }
  }
}

function isNull(node: { type?: string | undefined; value: unknown }): boolean {
  return node.type === 'PLAIN' && ['', '~', 'null', 'Null', 'NULL'].includes(String(node.value))
}

function offsetOf(node: unknown): number {
  const range = (node as { range?: [number, number, number] | null } | null)?.range
  return range?.[0] ?? 0
}

function position(lines: LineCounter, file: string, offset: number): Origin {
  const { line, col } = lines.linePos(offset)
  return { file, line, column: col }
}

/** A key fit to be shown: where a colon or a blank is missing, the value, which may be secret, is part of the key. */
export function shownKey(key: string): string {
  const name = shown(/^[^:= ]*/.exec(key)?.[0] ?? '')
  return /[:= ]/.test(key) ? `${name}…` : name
}

/** A value fit to be shown, on one line. */
export function shown(value: string): string {
  const text = escapeControls(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

const IN_QUOTES = 'put the value into single quotes'

/** Where the parser's words would be hard to understand, or hold what stands in the file: that may be secret. */
const OWN_WORDS: Partial<Record<ErrorCode, readonly [message: string, hint: string]>> = {
  TAB_AS_INDENT: ['a tab stands where only blanks may', 'indent with blanks'],
  MULTIPLE_DOCS: ['it holds several documents', 'remove what follows the second `---`'],
  TAG_RESOLVE_FAILED: ['a value begins with "!", as only tags do', IN_QUOTES],
  BAD_DIRECTIVE: ['a line begins with "%", as only directives do', IN_QUOTES],
  BAD_DQ_ESCAPE: ['a "\\" in double quotes begins no escape that is known', IN_QUOTES],
}

function explainSyntax({
  code,
  message,
}: Pick<YAMLParseError, 'code' | 'message'>): readonly [message: string, hint: string] {
  // Behind a colon the parser quotes the file.
  const [words = ''] = message.split(/(?<=\w): |\n/, 1)
  return OWN_WORDS[code] ?? [words, 'mend the line; values with ": " or " #" in them need quotes']
}
