import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, link, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { loadConfig, type LoadedConfig } from '../../config/load.ts'
import type { Environment } from '../../config/problem.ts'
import { EXIT, messageOf, OperatorError } from '../../core/errors.ts'

/** Whether something is there already, link or folder included. */
export async function isTaken(file: string): Promise<boolean> {
  return await stat(file).then(
    () => true,
    (error: unknown) => (error as NodeJS.ErrnoException).code !== 'ENOENT',
  )
}

/** The settings that a config file of this text would give, at this place: throws ConfigError. Leaves no file. */
export async function readAsConfig(
  file: string,
  text: string,
  environment: Environment,
): Promise<LoadedConfig> {
  return await withTemporary(file, text, (temporary) =>
    loadConfig({ file: temporary, required: true, environment, flags: {}, strict: true }),
  )
}

/** Writes a config file that only its owner may read, in one step. Takes no file's place unless `overwrite`. */
export async function writeConfig(file: string, text: string, overwrite: boolean): Promise<void> {
  await withTemporary(file, text, async (temporary) => {
    const path = resolve(file)
    if (overwrite) await rename(temporary, path)
    else await place(temporary, path)
  })
}

/** Calls `use` with a file of that text beside the place where it is to be, and removes it. */
async function withTemporary<T>(
  file: string,
  text: string,
  use: (temporary: string) => Promise<T>,
): Promise<T> {
  const path = resolve(file)
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  try {
    await writeFile(temporary, text, { flag: 'wx', mode: 0o600 })
    return await use(temporary)
  } catch (error) {
    if (error instanceof OperatorError) throw error
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw new OperatorError(
      `${file} can't be written`,
      messageOf(error),
      isThere
        ? 'Name another file by --config, or add --force to take its place.'
        : 'Check that its folder is there and can be written, or name another file by --config.',
      EXIT.failedStart,
      { cause: error },
    )
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Fails when the file is there, however it came there meanwhile. */
async function place(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error
    // Not every file system has hard links.
    await copyFile(temporary, path, constants.COPYFILE_EXCL)
  }
}
