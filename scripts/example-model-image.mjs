import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './setup.mjs'

const folder = join(root, 'examples/inference')

/** Trains the model of examples/inference and makes its image of this machine's own Python. `parts` are the engine leaf's. */
export async function makeModelImage(engine, tag, { importImage, HOST_BASE, hostPython, unique }) {
  const scratch = await mkdtemp(join(tmpdir(), 'opthub-runner-model-'))
  try {
    const model = join(scratch, 'model.json.gz')
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' }
    await promisify(execFile)('python3', [join(folder, 'train.py'), model], { env })
    const python = await hostPython()
    const names = ['main.py', 'model.py', 'tokens.py']
    const programs = await Promise.all(
      names.map(async (name) => {
        return { path: `/app/${name}`, type: 'text', content: await readFile(join(folder, name), 'utf8') }
      }),
    )
    return await importImage(engine, {
      tag,
      entries: unique([
        ...HOST_BASE,
        ...python.entries,
        ...programs,
        { path: '/app/model.json.gz', type: 'file', from: model },
      ]),
      command: [],
      environment: python.environment,
      changes: [
        'ENTRYPOINT ["/usr/bin/python3", "/app/main.py"]',
        'LABEL opthub-runner.socket=/run/model/model.sock',
        'USER nobody',
      ],
    })
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
