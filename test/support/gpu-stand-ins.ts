import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Programs that stand in for those of NVIDIA, in folders to put on a PATH. */
export interface GpuStandIns {
  /** Holds `nvidia-smi`, which lists the GPUs that `setGpus` names. */
  readonly driver: string
  /** Holds the hook that Docker looks for at its start. */
  readonly toolkit: string
  setGpus(uuids: readonly string[]): Promise<void>
  /** `NVIDIA_VISIBLE_DEVICES` of each container that the hook was run for. */
  handedOver(): Promise<string[]>
}

/** Makes the stand-ins below a folder. */
export async function makeGpuStandIns(folder: string): Promise<GpuStandIns> {
  const [driver, toolkit, seen] = ['driver', 'toolkit', 'seen'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  for (const each of [driver, toolkit, seen]) await mkdir(each, { recursive: true })
  const list = join(folder, 'gpus.txt')
  await script(join(driver, 'nvidia-smi'), `cat ${list}`)
  // What runc hands to a hook: the container's state, with the folder of its bundle.
  await script(
    join(toolkit, 'nvidia-container-runtime-hook'),
    `bundle=$(sed -n 's/.*"bundle":"\\([^"]*\\)".*/\\1/p')
grep -o 'NVIDIA_VISIBLE_DEVICES=[^"]*' "$bundle/config.json" | tail -n 1 >${seen}/$$-$(date +%s%N)`,
  )
  const standIns: GpuStandIns = {
    driver,
    toolkit,
    setGpus: (uuids) =>
      writeFile(list, uuids.map((uuid, n) => `GPU ${String(n)}: NVIDIA Stand-In (UUID: ${uuid})\n`).join('')),
    handedOver: async () => {
      const files = await readdir(seen)
      const texts = await Promise.all(files.map((file) => readFile(join(seen, file), 'utf8')))
      return texts.map((text) => text.trim().replace('NVIDIA_VISIBLE_DEVICES=', ''))
    },
  }
  return standIns
}

async function script(path: string, body: string): Promise<void> {
  await writeFile(path, `#!/bin/sh\n${body}\n`)
  await chmod(path, 0o755)
}
