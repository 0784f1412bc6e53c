import { EXIT, messageOf, OperatorError } from '../../../core/errors.ts'
import type { Engine } from '../api/engine.ts'
import { hostNode } from './host-image.ts'
import { HOST_BASE, hostPrograms, hostPython, unique } from './host-programs.ts'
import { importImage } from './import-image.ts'
import type { TarEntry } from './tar.ts'

/** Languages whose image can be made of what this machine has. */
export const HOST_LANGUAGES = ['python', 'node', 'bash'] as const
export type HostLanguage = (typeof HOST_LANGUAGES)[number]

/** What every image of a language has besides: shells call them, and files are taken out by `tar`. */
const TOOLS = [
  'sh',
  'tar',
  'base64',
  'cat',
  'chmod',
  'cp',
  'head',
  'ls',
  'mkdir',
  'mv',
  'rm',
  'sleep',
  'sort',
  'tail',
  'wc',
]

/**
 * Makes the image of a language from this machine's own programs, for where no registry can be asked (Linux only). The
 * second time nothing is done. OperatorError when the machine does not have the language itself.
 */
export async function importHostLanguage(
  engine: Engine,
  language: HostLanguage,
  { tag, nodePath }: { tag: string; nodePath: string },
): Promise<{ made: boolean }> {
  try {
    const { entries, command, environment } = await partsOf(language, nodePath)
    const all = unique([...HOST_BASE, ...(await hostPrograms(TOOLS)), ...entries])
    return await importImage(engine, { tag, entries: all, command, environment })
  } catch (error) {
    if (error instanceof OperatorError) throw error
    const hint = `Install ${language} on this machine, or make ${tag} where a registry can be asked, and bring it by \`docker save\` and \`docker load\`.`
    throw new OperatorError(
      `No image for ${language} can be made here`,
      messageOf(error),
      hint,
      EXIT.unavailable,
      {
        cause: error,
      },
    )
  }
}

async function partsOf(
  language: HostLanguage,
  nodePath: string,
): Promise<{
  entries: TarEntry[]
  command: readonly string[]
  environment: Readonly<Record<string, string>>
}> {
  switch (language) {
    case 'python': {
      const { entries, environment } = await hostPython()
      return { entries, command: ['python3'], environment }
    }
    case 'node':
      return { entries: await hostNode(nodePath), command: ['node'], environment: {} }
    case 'bash':
      return { entries: await hostPrograms(['bash']), command: ['bash'], environment: {} }
  }
}
