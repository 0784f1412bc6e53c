import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { loadDemoImages } from '../../../src/demo/images.ts'
import type { DemoImage } from '../../../src/demo/images.ts'
import { createDemoParticipants, DEMO } from '../../../src/demo/settings.ts'
import { runFile } from '../examples/run-example.ts'

/** Runs the image's command with nothing but the image's files. */
async function runImage(
  image: DemoImage,
  input: string,
  environment: Record<string, string>,
): Promise<unknown> {
  const root = await mkdtemp(join(tmpdir(), 'opthub-image-'))
  try {
    for (const [path, content] of Object.entries(image.files)) {
      await mkdir(dirname(join(root, path)), { recursive: true })
      await writeFile(join(root, path), content)
    }
    const args = image.command.slice(1).map((word) => (word.startsWith('/') ? join(root, word) : word))
    expect(image.command[0]).toBe('node')
    const run = await runFile(process.execPath, args, input, { ...image.environment, ...environment })
    return run.result
  } finally {
    await rm(root, { recursive: true })
  }
}

test('the files of each image are all that it needs to run', async () => {
  const { problem, indicator } = await loadDemoImages()
  for (const { optimizer } of createDemoParticipants()) {
    const evaluation = await runImage(problem, JSON.stringify(optimizer.ask()), DEMO.problemEnvironment)
    expect(evaluation).toMatchObject({ feasible: true, info: { function: 'rosenbrock', dimension: 10 } })
    const { objective } = evaluation as { objective: number }
    const score = await runImage(indicator, `${JSON.stringify(evaluation)}\n[]\n`, DEMO.indicatorEnvironment)
    expect(score).toEqual({ score: objective })
  }
})

test('each Dockerfile copies the same files and runs the same command', async () => {
  const images = await loadDemoImages()
  for (const image of Object.values(images)) {
    const dockerfile = await readFile(join(image.buildFolder, 'Dockerfile'), 'utf8')
    const copied = /^COPY (.+) \.\/$/m.exec(dockerfile)?.[1]?.split(' ') ?? []
    expect(copied.map((name) => `/app/${name}`)).toEqual(Object.keys(image.files))
    expect(dockerfile).toContain('WORKDIR /app\n')
    expect(dockerfile).toContain('CMD ["node", "main.mjs"]\n')
    expect(image.command).toEqual(['node', '/app/main.mjs'])
  }
})

test('tags are valid and differ', async () => {
  const { problem, indicator } = await loadDemoImages()
  expect(problem.tag).not.toBe(indicator.tag)
  for (const { tag } of [problem, indicator]) expect(tag).toMatch(/^[a-z0-9-]+\/[a-z0-9-]+:latest$/)
})
