import { isJsonObject, type JsonObject } from '../core/json.ts'
import type { InputFile, OutputFile } from '../files/files.ts'
import * as read from './fields.ts'

const MOST_FILES = 256

/** `inputs` of a message: files that are fetched before the start. */
export function inputsOf(object: JsonObject): InputFile[] {
  const files = members(object, 'inputs', ['path', 'url', 'sha256'])
  const inputs = files.map(({ file, path, url, where }): InputFile => {
    const sha256 = read.text(file, 'sha256', where)
    if (sha256 !== '' && !/^[0-9a-fA-F]{64}$/.test(sha256))
      throw new read.RequestError(`${where}.sha256 must be 64 hexadecimal digits`)
    return { path, url, ...(sha256 === '' ? {} : { sha256 }) }
  })
  read.assertApart(inputs.map(({ path }) => path))
  return inputs
}

/** `outputs` of a message: files, or folders of them, that are sent after the end. Paths of `special` mean something else. */
export function outputsOf(object: JsonObject, special: readonly string[] = []): OutputFile[] {
  const files = members(object, 'outputs', ['path', 'url', 'type', 'fields'], special)
  return files.map(({ file, path, url, where }): OutputFile => {
    const type = read.text(file, 'type', where)
    if (!/^[\x20-\x7e]{0,256}$/.test(type)) throw new read.RequestError(`${where}.type is no media type`)
    const fields = read.isGiven(file, 'fields') ? read.object(file, 'fields') : undefined
    return {
      path,
      url,
      ...(type === '' ? {} : { type }),
      ...(fields === undefined
        ? {}
        : {
            fields: Object.fromEntries(
              Array.from(fields.keys(), (name) => [name, read.text(fields, name, `${where}.fields`)]),
            ),
          }),
    }
  })
}

interface Member {
  file: JsonObject
  path: string
  url: string
  where: string
}

function members(
  object: JsonObject,
  key: string,
  known: readonly string[],
  special: readonly string[] = [],
): Member[] {
  const list = read.list(object, key)
  if (list.length > MOST_FILES) throw new read.RequestError(`${key} holds more than ${MOST_FILES} files`)
  return list.map((file, index) => {
    const where = `${key}[${index}]`
    if (!isJsonObject(file)) throw new read.RequestError(`${where} must be an object with path and url`)
    read.onlyKeys(file, known, `${where}.`)
    for (const name of ['path', 'url']) {
      if (!read.isGiven(file, name)) throw new read.RequestError(`${where}.${name} is missing`)
    }
    const given = read.text(file, 'path', where)
    const path = special.includes(given) ? given : read.path(given, `${where}.path`)
    return { file, path, url: read.text(file, 'url', where), where }
  })
}
