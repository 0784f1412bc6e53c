import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import ts from 'typescript'

const ROOT = resolve(import.meta.dirname, '../..')

/**
 * Compiles a script and the folders below src/ that it needs (Node 20 can't run them as they are) into a folder inside
 * of node_modules, where their imports are found. Call once for a test file; the folder goes by `remove`.
 */
export function compileChild(
  script: string,
  folders: readonly string[],
): { script: string; remove: () => void } {
  const cache = join(ROOT, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  const out = mkdtempSync(join(cache, 'child-'))
  // A child may become another user.
  chmodSync(out, 0o755)
  writeFileSync(join(out, 'package.json'), '{"type":"module"}')
  const sources = folders.flatMap((folder) =>
    readdirSync(join(ROOT, 'src', folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
      .map((file) => join(ROOT, 'src', folder, file)),
  )
  const targetOf = (source: string): string => join(out, relative(ROOT, source)).replace(/\.ts$/, '.js')
  for (const source of [...sources, script]) {
    mkdirSync(dirname(targetOf(source)), { recursive: true })
    const { outputText } = ts.transpileModule(readFileSync(source, 'utf8'), {
      compilerOptions: {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.ESNext,
        rewriteRelativeImportExtensions: true,
        verbatimModuleSyntax: true,
      },
    })
    writeFileSync(targetOf(source), outputText)
  }
  return {
    script: targetOf(script),
    remove: () => {
      rmSync(out, { recursive: true, force: true })
    },
  }
}
