import { nearest } from '../core/nearest.ts'
import type { Environment, Origin } from './problem.ts'
import { pathKey, readYaml, setOwn, type Raw, type RawMap, type RawSettings } from './read-yaml.ts'
import { CONFIG_KEYS, SECRET_KEYS } from './schema.ts'

const PREFIX = 'OPTHUB_RUNNER_'

/** Variables with the prefix that are no settings. */
const OTHERS = new Set(['HOME'])

/** Below these keys the names are the user's own, so their letters are kept as they are. */
const NAMED_BY_USER = new Set(['environment', 'tmpfs'])

/** Settings from OPTHUB_RUNNER_<KEY>, `__` between nested keys; an empty variable counts as unset. */
export function readEnvironment(environment: Environment): RawSettings {
  const settings: RawSettings = { tree: {}, origins: new Map(), problems: [] }
  for (const [variable, value] of Object.entries(environment).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!variable.startsWith(PREFIX) || value === undefined || value === '') continue
    const name = variable.slice(PREFIX.length)
    if (OTHERS.has(name)) continue
    const path = pathOf(name)
    const [top = ''] = path
    if (!CONFIG_KEYS.includes(top)) {
      const meant = nearest(top, CONFIG_KEYS)
      settings.problems.push({
        severity: 'warning',
        origin: { variable },
        path,
        message: 'is no setting, and is ignored',
        hint: meant === undefined ? '' : `did you mean ${PREFIX}${meant.toUpperCase()}?`,
      })
      continue
    }
    place(settings, path, SECRET_KEYS.has(top) ? value : structured(value), { variable })
  }
  placeTriton(settings, environment)
  return settings
}

function pathOf(name: string): string[] {
  let own = false
  return name.split('__').map((part) => {
    const key = own ? part : part.toLowerCase()
    own ||= NAMED_BY_USER.has(key)
    return key
  })
}

/** A list or a map may be written as in YAML's flow style, which JSON is a part of. */
function structured(value: string): Raw {
  if (!/^\s*[[{]/.test(value)) return value
  const { tree, problems } = readYaml(`value: ${value.replaceAll('\n', ' ')}`, '')
  return problems.length > 0 ? value : (tree['value'] ?? value)
}

/** The names that users of Triton know; ours win over them. */
function placeTriton(settings: RawSettings, environment: Environment): void {
  const [host, port] = [environment['TRITON_HOST'], environment['TRITON_PORT']]
  // Kubernetes sets TRITON_PORT for a service of that name, to something else.
  const known = { TRITON_HOST: host, TRITON_PORT: /^\d+$/.test(port ?? '') ? port : undefined }
  for (const [variable, value] of Object.entries(known)) {
    const path = ['inference', 'triton', variable.slice('TRITON_'.length).toLowerCase()]
    if (value === undefined || value === '' || settings.origins.has(pathKey(path))) continue
    place(settings, path, value, { variable })
  }
}

/** Puts a value where it belongs. */
export function place(settings: RawSettings, path: readonly string[], value: Raw, origin: Origin): void {
  let map: RawMap = settings.tree
  for (const key of path.slice(0, -1)) {
    const inner = Object.hasOwn(map, key) ? map[key] : undefined
    const next = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : {}
    setOwn(map, key, next)
    map = next
  }
  const last = path.at(-1) ?? ''
  setOwn(map, last, value)
  settings.origins.set(pathKey(path), origin)
}
