import { defineConfig } from 'vitest/config'

/** One project per kind of test, so that `vitest run --project unit` stays quick. */
function project(name: string, testTimeout: number) {
  return {
    extends: true as const,
    test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: testTimeout },
  }
}

/** Runs when all else is done, and one file at a time: what it measures must not be the others' load. */
function chaos() {
  const { test, ...rest } = project('chaos', 120_000)
  return { ...rest, test: { ...test, maxWorkers: 1, sequence: { groupOrder: 1 } } }
}

/** After that: it fills the machine with programs that do their worst, and times an honest one among them. */
function hostile() {
  const { test, ...rest } = project('hostile', 240_000)
  return { ...rest, test: { ...test, maxWorkers: 1, sequence: { groupOrder: 2 } } }
}

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    silent: 'passed-only',
    env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
    restoreMocks: true,
    unstubEnvs: true,
    reporters: ['default', './test/support/closing-line-reporter.ts'],
    coverage: { provider: 'v8', include: ['src/**/*.ts'], reporter: ['text-summary', 'json-summary'] },
    projects: [
      { extends: true as const, test: { name: 'house', include: ['test/*.test.ts'] } },
      project('unit', 20_000),
      project('contract', 60_000),
      project('integration', 60_000),
      project('docker', 180_000),
      project('e2e', 300_000),
      chaos(),
      hostile(),
    ],
  },
})
