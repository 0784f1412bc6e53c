import { join } from 'node:path'
import type { Clock } from '../../../core/clock.ts'
import type { Logger } from '../../../core/log.ts'
import { DiskSpace } from './disk-space.ts'
import type { Environment } from '../api/docker-config.ts'
import type { Engine } from '../api/engine.ts'
import { engineData } from '../host/engine-data.ts'
import { Images, type PullPolicy } from './pull.ts'
import { PullRecord } from './pull-record.ts'
import { PulledImages } from './pulled-images.ts'
import type { RegistryLogin } from './registry-auth.ts'

export interface ImageSettings {
  /** For Docker's config.json and its credential helpers. */
  environment: Environment
  /** Default `refresh`. */
  pullPolicy?: PullPolicy
  /** Milliseconds after which `refresh` asks for a digest again; default 60 000. */
  imageCheckIntervalMs?: number
  /** Longest wait for a registry about an image that is here already; default 10 000. */
  registryPatienceMs?: number
  /** Longest silence of a registry that an image is pulled from; default 120 000. */
  registrySilenceMs?: number
  /** Registry → login; wins over Docker's own configuration. */
  registryLogins?: Readonly<Record<string, RegistryLogin>>
  /** Longest time that a credential helper may take; default 30 000. */
  helperTimeoutMs?: number
  /** Patterns of images that may run; default all. */
  allowedImages?: readonly string[]
  /** Where runners note what they have pulled; left out = not noted, so that none of it is ever removed. */
  dataDir?: string
  /** Free bytes on the engine's disk below which images go that runners have pulled; default 0 = never. */
  minFreeDiskBytes?: number
}

/** The images of an engine, and the disk that they are on. */
export function createImages(
  engine: Engine,
  settings: ImageSettings,
  services: { clock: Clock; log: Logger },
): { images: Images; disk: DiskSpace } {
  const { dataDir } = settings
  const pulled = dataDir === undefined ? undefined : () => pulledImages(engine, dataDir)
  const minFreeBytes = settings.minFreeDiskBytes ?? 0
  const disk = new DiskSpace({ engine, minFreeBytes, pulled, ...services })
  const images = new Images({
    engine,
    policy: settings.pullPolicy ?? 'refresh',
    checkIntervalMs: settings.imageCheckIntervalMs ?? 60_000,
    patienceMs: settings.registryPatienceMs ?? 10_000,
    silenceMs: settings.registrySilenceMs ?? 120_000,
    allowed: settings.allowedImages ?? [],
    logins: settings.registryLogins ?? {},
    environment: settings.environment,
    helperTimeoutMs: settings.helperTimeoutMs ?? 30_000,
    disk,
    record: pulled && new PullRecord(engine, pulled, services.log),
    ...services,
  })
  return { images, disk }
}

/** The record of what runners with this data folder have pulled onto an engine. */
export async function pulledImages(engine: Engine, dataDir: string): Promise<PulledImages> {
  const { key } = await engineData(engine)
  return new PulledImages(join(dataDir, 'images', key))
}
