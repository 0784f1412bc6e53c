import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** All that is needed to make one of the demo's images, from the host's Node binary or from its Dockerfile. */
export interface DemoImage {
  /** Name and tag for the engine. */
  tag: string
  /** Absolute path in the image → content. */
  files: Readonly<Record<string, string>>
  /** The image's own command; `node` is on its PATH. */
  command: readonly string[]
  /** The image's own environment. */
  environment: Readonly<Record<string, string>>
  /** Folder on this machine that holds the same files and a Dockerfile. */
  buildFolder: string
}

interface Recipe {
  tag: string
  /** Below `examples/`. */
  folder: string
  files: readonly string[]
}

// The same place from src/demo and from dist/demo, in a checkout and in the published package.
const EXAMPLES = new URL('../../examples/', import.meta.url)

const RECIPES = {
  problem: {
    tag: 'opthub-runner-demo/benchmark:latest',
    folder: 'problems/benchmark/',
    files: ['main.mjs', 'functions.mjs'],
  },
  indicator: { tag: 'opthub-runner-demo/best:latest', folder: 'indicators/best/', files: ['main.mjs'] },
} as const satisfies Record<string, Recipe>

/** The demo's problem and indicator image, read from this package's examples. */
export async function loadDemoImages(): Promise<{ problem: DemoImage; indicator: DemoImage }> {
  const [problem, indicator] = await Promise.all([load(RECIPES.problem), load(RECIPES.indicator)])
  return { problem, indicator }
}

async function load({ tag, folder, files }: Recipe): Promise<DemoImage> {
  const base = new URL(folder, EXAMPLES)
  const contents = await Promise.all(
    files.map(async (name) => [`/app/${name}`, await readFile(new URL(name, base), 'utf8')] as const),
  )
  return {
    tag,
    files: Object.fromEntries(contents),
    command: ['node', '/app/main.mjs'],
    environment: {},
    buildFolder: fileURLToPath(base),
  }
}
