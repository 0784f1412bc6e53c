import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../../core/errors.ts'
import type { Capacity } from '../../executor.ts'
import { asRecord } from '../../../core/unknown-json.ts'
import type { Environment } from '../api/docker-config.ts'
import type { Engine } from '../api/engine.ts'
import { engineKind } from '../api/engine-kind.ts'

export type FoundGpus = Pick<Capacity, 'gpus' | 'noGpus'>

/** A GPU that is asleep takes seconds to answer. */
const DRIVER_PATIENCE_MS = 30_000
/** Where the kernel module lists its GPUs; seen inside of containers too. */
const DRIVER_FOLDER = '/proc/driver/nvidia/gpus'
/** `GPU-…` or `MIG-…`, as `nvidia-smi -L` or its CSV shows it. */
const LISTED = /(?:UUID: *|^ *)((?:GPU|MIG)-[\w/-]+)/

/**
 * The GPUs of an engine's machine: by the driver's own tools where that is this machine, else as the engine tells.
 * `info` is the engine's answer to /info.
 */
export async function discoverGpus(
  engine: Engine,
  info: unknown,
  environment: Environment,
): Promise<FoundGpus> {
  if ((await engineKind(engine)).product === 'Podman') {
    return { gpus: [], noGpus: 'Podman silently ignores requests for GPUs; use Docker' }
  }
  const told = toldByEngine(asRecord(info))
  if (!isHere(engine)) {
    const hint = `those of the engine at ${engine.label} can't be seen from here; name them in docker.gpus`
    return told.length > 0 ? { gpus: told } : { gpus: [], noGpus: hint }
  }
  const found = await askDriver(environment)
  if (found.gpus.length > 0) return found
  const others = [await listedByKernel(), told].find((gpus) => gpus.length > 0)
  return others === undefined ? found : { gpus: others }
}

/** How GPUs come into containers, as far as that shows from outside. */
export interface GpuReport extends FoundGpus {
  /** `unknown` = the engine is on another machine, and says nothing. */
  way: 'toolkit' | 'runtime' | 'cdi' | 'none' | 'unknown'
}

/** What an engine's machine has, and whether its GPUs could be handed over. Starts nothing. */
export async function inspectGpus(
  engine: Engine,
  environment: Environment,
  signal: AbortSignal,
): Promise<GpuReport> {
  const info = asRecord(await engine.json('GET', '/info', { signal }))
  const found = await discoverGpus(engine, info, environment)
  return { ...found, way: await wayOf(engine, info, environment) }
}

async function wayOf(
  engine: Engine,
  info: Readonly<Record<string, unknown>>,
  environment: Environment,
): Promise<GpuReport['way']> {
  if ((await engineKind(engine)).product === 'Podman') return 'none'
  if ('nvidia' in asRecord(info['Runtimes'])) return 'runtime'
  if (toldByEngine({ DiscoveredDevices: info['DiscoveredDevices'] }).length > 0) return 'cdi'
  if (!isHere(engine)) return 'unknown'
  const folders = [...(environment['PATH'] ?? '').split(':'), '/usr/bin', '/usr/local/bin']
  for (const folder of folders) {
    // Docker looks for it at its start.
    const isThere = await access(join(folder, 'nvidia-container-runtime-hook'), constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isThere) return 'toolkit'
  }
  return 'none'
}

/** Whether an engine's devices are this machine's. */
export function isHere({ label }: Engine): boolean {
  return /^(unix|npipe):|^tcp:\/\/(localhost|127\.|\[::1\])/.test(label)
}

async function askDriver(environment: Environment): Promise<FoundGpus> {
  const { isFinal = false, ...list } = await nvidiaSmi(['-L'], environment)
  if (list.gpus.length > 0 || isFinal) return list
  const table = await nvidiaSmi(['--query-gpu=uuid,name,memory.total', '--format=csv,noheader'], environment)
  return table.gpus.length > 0 ? table : list
}

async function nvidiaSmi(
  args: readonly string[],
  environment: Environment,
): Promise<FoundGpus & { isFinal?: boolean }> {
  return await new Promise((resolve) => {
    const options = { env: environment, timeout: DRIVER_PATIENCE_MS, maxBuffer: 4 * 1024 ** 2 }
    execFile('nvidia-smi', args, options, (error, stdout, stderr) => {
      if (error === null) {
        const gpus = parseGpus(stdout)
        resolve(gpus.length > 0 ? { gpus } : { gpus, noGpus: 'nvidia-smi lists none' })
      } else if (error.code === 'ENOENT' || error.code === 'EACCES') {
        const noGpus = 'nvidia-smi is not on the PATH; install the NVIDIA driver'
        resolve({ gpus: [], noGpus, isFinal: true })
      } else if (error.killed === true) {
        const seconds = DRIVER_PATIENCE_MS / 1000
        const noGpus = `the NVIDIA driver does not answer: nvidia-smi took more than ${seconds} s`
        resolve({ gpus: [], noGpus, isFinal: true })
      } else {
        const said = `${stdout} ${stderr}`.trim().replaceAll(/\s+/g, ' ').slice(0, 500)
        resolve({ gpus: [], noGpus: `nvidia-smi failed: ${said === '' ? messageOf(error) : said}` })
      }
    })
  })
}

/** UUIDs in the order of the driver. A GPU that is cut into MIG devices can't be used as a whole. */
export function parseGpus(text: string): string[] {
  const found: string[] = []
  let whole = ''
  for (const line of text.split('\n')) {
    const uuid = LISTED.exec(line)?.[1]
    if (uuid === undefined) continue
    if (uuid.startsWith('GPU-')) whole = uuid
    else if (found.at(-1) === whole) found.pop()
    found.push(uuid)
  }
  return [...new Set(found)]
}

async function listedByKernel(): Promise<string[]> {
  const folders = await readdir(DRIVER_FOLDER).catch(() => [])
  const texts = await Promise.all(
    folders
      .sort()
      .map((folder) => readFile(join(DRIVER_FOLDER, folder, 'information'), 'utf8').catch(() => '')),
  )
  return texts.flatMap((text) => /^GPU UUID:\s*(GPU-[\w-]+)/m.exec(text)?.[1] ?? [])
}

/** Devices of the Container Device Interface, and those that the daemon's configuration names (node-generic-resources). */
function toldByEngine(info: Readonly<Record<string, unknown>>): string[] {
  const devices = listOf(info['DiscoveredDevices']).map(({ ID }) => ID)
  const resources = listOf(info['GenericResources']).map(
    ({ NamedResourceSpec }) => asRecord(NamedResourceSpec)['Value'],
  )
  const uuids = [...devices, ...resources].flatMap((name) =>
    typeof name === 'string' ? (/^(?:nvidia\.com\/gpu=)?((?:GPU|MIG)-[\w/-]+)$/.exec(name)?.[1] ?? []) : [],
  )
  return [...new Set(uuids)]
}

function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(asRecord) : []
}
