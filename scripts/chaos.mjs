// `npm run chaos -- [--seconds N] [--seed TEXT] [--keep N,N…] [--shrink]`: runner processes work while everything goes
// wrong, and every history is checked (docs/reliability.md). Ten minutes when nothing is said. Node built-ins only.
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build, root, run } from './setup.mjs'

const USAGE = 'npm run chaos -- [--seconds N] [--seed TEXT] [--keep N,N…] [--shrink]'

function options() {
  try {
    const { values } = parseArgs({
      options: {
        seconds: { type: 'string', default: '600' },
        seed: { type: 'string' },
        keep: { type: 'string' },
        shrink: { type: 'boolean', default: false },
      },
    })
    if (!(Number(values.seconds) > 0)) throw new Error(`--seconds ${values.seconds} is no number above 0`)
    if (values.keep !== undefined && !/^\d+(,\d+)*$/.test(values.keep))
      throw new Error(`--keep ${values.keep} is no list of numbers`)
    if (values.keep !== undefined && values.seed === undefined)
      throw new Error('--keep needs the --seed whose schedule it names')
    return values
  } catch (error) {
    console.error(`${error.message}\nUsage: ${USAGE}`)
    process.exit(2)
  }
}

const { seconds, seed, keep, shrink } = options()
if (build() !== 0) process.exit(1)
const env = {
  ...process.env,
  OPTHUB_CHAOS_SECONDS: seconds,
  OPTHUB_CHAOS_SHRINK: String(shrink),
  ...(seed === undefined ? {} : { OPTHUB_CHAOS_SEED: seed }),
  ...(keep === undefined ? {} : { OPTHUB_CHAOS_KEEP: keep }),
}
process.exit(
  run(join(root, 'node_modules/.bin/vitest'), ['run', '--project', 'chaos', 'test/chaos/chaos.test.ts'], {
    env,
  }),
)
