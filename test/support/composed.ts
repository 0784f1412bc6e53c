import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { isAbsolute, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { z } from 'zod'

const exec = promisify(execFile)

/** What is known of a compose file here; a key that is not makes a test fail, rather than be left out of it. */
const composeFile = z.strictObject({
  services: z.strictObject({
    fetcher: z.strictObject({
      build: z.literal('.'),
      image: z.string(),
      command: z.array(z.string()),
      env_file: z.string(),
      volumes: z.array(z.string()),
      extra_hosts: z.array(z.string()),
      restart: z.literal('unless-stopped'),
      stop_grace_period: z.string().regex(/^\d+m$/),
    }),
  }),
  volumes: z.strictObject({ state: z.null() }),
})

export interface ServiceStart {
  /** Path of the compose file. */
  file: string
  /** Folder of the project: it has the `.env`. */
  folder: string
  /** What stands in `.env`, as far as the compose file uses it. */
  variables: Readonly<Record<string, string>>
  /** What `~` is. */
  home: string
  /** Name of the container; its named volumes begin with it. */
  name: string
  /** In place of the image that the file names. */
  image: string
  /** Where the engine's socket is on this machine. */
  socket: string
  engine: string
}

export interface StartedService extends AsyncDisposable {
  /** Ends it as `docker compose stop` does; the exit code. */
  stop(): Promise<number>
  log(): Promise<string>
  /** How long it gets to end, in seconds. */
  graceSeconds: number
}

/** Starts the service `fetcher` of a compose file with nothing but the docker CLI, which is where compose is not. */
export async function startComposed(start: ServiceStart): Promise<StartedService> {
  const { folder, variables, home, name, socket } = start
  const env = { ...process.env, DOCKER_HOST: start.engine }
  const docker = async (...args: string[]): Promise<string> => {
    const { stdout, stderr } = await exec('docker', args, { env, timeout: 120_000 })
    return stdout + stderr
  }
  const { fetcher: service } = composeFile.parse(parse(await readFile(start.file, 'utf8'))).services
  const graceSeconds = Number.parseInt(service.stop_grace_period, 10) * 60
  const filled = service.volumes.map((volume) =>
    volume.replaceAll(/\$\{(\w+):-([^}]*)\}/g, (_all, key: string, otherwise: string) =>
      variables[key] === undefined || variables[key] === '' ? otherwise : variables[key],
    ),
  )
  const volumes = filled.map((volume) => {
    const [source = '', ...rest] = volume.split(':')
    if (rest[0] === '/var/run/docker.sock') return [socket, ...rest].join(':')
    if (source.startsWith('~')) return [source.replace('~', home), ...rest].join(':')
    if (source.startsWith('.')) return [resolve(folder, source), ...rest].join(':')
    return [isAbsolute(source) ? source : `${name}_${source}`, ...rest].join(':')
  })
  await mkdir(home, { recursive: true })
  await docker(
    ...['run', '--detach', '--name', name, '--env-file', join(folder, service.env_file)],
    ...volumes.flatMap((volume) => ['--volume', volume]),
    ...service.extra_hosts.flatMap((host) => ['--add-host', host]),
    ...[start.image, ...service.command],
  )
  return {
    graceSeconds,
    log: () => docker('logs', name),
    stop: async () => {
      await docker('stop', '--time', String(graceSeconds), name)
      return Number(await docker('inspect', '--format', '{{.State.ExitCode}}', name))
    },
    [Symbol.asyncDispose]: async () => {
      await docker('rm', '--force', '--volumes', name)
      await docker('volume', 'rm', '--force', `${name}_state`)
    },
  }
}
