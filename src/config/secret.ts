import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { messageOf } from '../core/errors.ts'
import type { Environment } from './problem.ts'

/**
 * The secret that a setting stands for: `env:NAME` is that variable, `file:PATH` the first line of that file (relative
 * paths start at the folder of the config file), anything else is the secret itself. Throws an Error that says what is
 * wrong, in words that fit behind the setting's name.
 */
export async function resolveSecret(
  setting: string,
  environment: Environment,
  configFile: string,
): Promise<string> {
  if (setting.startsWith('env:')) {
    const name = setting.slice('env:'.length).trim()
    const value = environment[name]
    if (value === undefined || value === '') {
      // What is no name may be the secret itself.
      const which = /^[A-Z_][A-Z0-9_]*$/.test(name) ? `the variable ${name}` : 'a variable'
      throw new Error(`names ${which}, which is not set`)
    }
    return value
  }
  if (setting.startsWith('file:')) {
    const path = setting.slice('file:'.length).trim()
    const secret = await readSecretFile(resolve(dirname(configFile), path))
    if (secret === '') throw new Error(`names the file ${path}, which is empty`)
    return secret
  }
  return setting
}

async function readSecretFile(path: string): Promise<string> {
  let content: string
  try {
    content = await readFile(path, 'utf8')
  } catch (error) {
    throw new Error(`names a file that can't be read: ${messageOf(error)}`, { cause: error })
  }
  // Editors end files with a newline, which is no part of the secret.
  const [line = ''] = content.replace(/^\ufeff/, '').split(/\r?\n/, 1)
  return line.trim()
}
