import type { StubName } from './stubs.ts'

/** How programs of a language are run. */
export interface Language {
  image: string
  /** Never through a shell. Left out = by the stub, which must be there then. */
  command?: readonly string[]
  /** Where in the working folder the code goes; left out = it is the program's standard input. */
  file?: string
  /** Makes the program of the file before the command runs; its image must have `sh` and `base64`. */
  compile?: readonly string[]
  /** Takes the code by standard input and becomes the program, so that it can be started ahead. */
  stub?: StubName
}

/** What a config can say of a language. */
export type LanguageConfig = Partial<Omit<Language, 'stub'>>

/** Languages of a config that says nothing. */
export const DEFAULT_LANGUAGES = {
  python: { image: 'python:3.12-slim', file: 'main.py', stub: 'python' },
  node: { image: 'node:22-slim', file: 'main.js', stub: 'node' },
  bash: { image: 'bash:5.2', file: 'main.sh', stub: 'bash' },
  c: {
    image: 'gcc:14',
    file: 'main.c',
    compile: ['gcc', '-O2', '-o', 'program', 'main.c', '-lm'],
    command: ['./program'],
  },
  cpp: {
    image: 'gcc:14',
    file: 'main.cpp',
    compile: ['g++', '-O2', '-std=c++20', '-o', 'program', 'main.cpp'],
    command: ['./program'],
  },
} as const satisfies Record<string, Language>

/**
 * The languages of a config on top of the known ones: of a known one what is left out stays, but with a command of its own
 * it has no stub, and no file that its words don't name. Throws TypeError for a new one without `image` or `command`.
 */
export function mergeLanguages(
  configured: Readonly<Record<string, LanguageConfig>>,
): Record<string, Language> {
  const languages: Record<string, Language> = { ...DEFAULT_LANGUAGES }
  for (const [name, { image, command, file, compile }] of Object.entries(configured)) {
    const known: Language | undefined = Object.hasOwn(DEFAULT_LANGUAGES, name) ? languages[name] : undefined
    const base: Partial<Language> = { ...known }
    if (command !== undefined) {
      delete base.stub
      // `python3 -` wants the code, `python3 main.py` the file.
      const words = [...command, ...(compile ?? base.compile ?? [])]
      if (!words.some((word) => word.includes(base.file ?? ''))) delete base.file
    }
    const merged = {
      ...base,
      ...(image === undefined ? {} : { image }),
      ...(command === undefined ? {} : { command }),
      ...(file === undefined ? {} : { file }),
      ...(compile === undefined ? {} : { compile }),
    }
    const { image: from } = merged
    if (from === undefined) throw new TypeError(`the language ${name} needs an image`)
    if (merged.command === undefined && merged.stub === undefined)
      throw new TypeError(`the language ${name} needs a command`)
    languages[name] = { ...merged, image: from }
  }
  return languages
}
