import { execFile } from 'node:child_process'
import { realpath } from 'node:fs/promises'
import { promisify } from 'node:util'
import { EXIT, messageOf, OperatorError } from '../../../core/errors.ts'
import type { Engine } from '../api/engine.ts'
import { importImage } from './import-image.ts'
import type { TarEntry } from './tar.ts'

export interface HostImageRequest {
  /** `name:tag` of the image. */
  tag: string
  /** Path in the image → content. */
  files: Readonly<Record<string, string>>
  command: readonly string[]
  environment?: Readonly<Record<string, string>>
  /** This host's Node binary (`process.execPath`); in the image it is `/usr/bin/node`. */
  nodePath: string
}

/**
 * Makes an image from this host's own Node binary, the libraries that it uses and `files`, without any registry
 * (Linux only, about 105 MB). The second time nothing is done. OperatorError when the binary can't be taken along.
 */
export async function importHostNodeImage(
  engine: Engine,
  { tag, files, command, environment = {}, nodePath }: HostImageRequest,
): Promise<{ id: string; made: boolean }> {
  const entries: TarEntry[] = [
    { path: '/tmp', type: 'folder', mode: 0o1777 },
    { path: '/etc/passwd', type: 'text', content: 'root:x:0:0:root:/root:/bin/false\n' },
    { path: '/etc/group', type: 'text', content: 'root:x:0:\n' },
    ...(await hostNode(nodePath)),
    ...Object.entries(files).map(([path, content]): TarEntry => ({ path, type: 'text', content })),
  ]
  return await importImage(engine, { tag, entries, command, environment })
}

/** A Node binary of this machine with the libraries that it uses; in the image it is `/usr/bin/node`. */
export async function hostNode(nodePath: string): Promise<TarEntry[]> {
  const node = await realpath(nodePath)
  const entries: TarEntry[] = [
    // At its own path, since it may find its libraries from there.
    { path: node, type: 'file', from: node },
    ...(await sharedObjects(node)).map((path): TarEntry => ({ path, type: 'file', from: path })),
  ]
  if (node !== '/usr/bin/node') entries.push({ path: '/usr/bin/node', type: 'link', target: node })
  return entries
}

/** The libraries that a Node process has loaded, by its own report; the dynamic loader is among them. */
async function sharedObjects(node: string): Promise<string[]> {
  const script =
    'process.report.excludeNetwork = true; console.log(JSON.stringify(process.report.getReport().sharedObjects))'
  try {
    const { stdout } = await promisify(execFile)(node, ['-e', script], { env: {}, timeout: 60_000 })
    // What is no path (linux-vdso) is the kernel's.
    return (JSON.parse(stdout) as string[]).filter((path) => path.startsWith('/') && path !== node)
  } catch (error) {
    const hint = 'Name images in the configuration instead, or use the official Node build for Linux.'
    throw new OperatorError(`No image can be made of ${node}`, messageOf(error), hint, EXIT.unavailable, {
      cause: error,
    })
  }
}
