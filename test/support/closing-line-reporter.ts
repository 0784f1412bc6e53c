import type { Reporter, TestModule } from 'vitest/node'

/** Ends the output with `N passed, N failed, N skipped`, the line that tools reading test logs look for. */
export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') counts.passed += 1
        else if (state === 'skipped') counts.skipped += 1
        else counts.failed += 1
      }
      // A file that broke while loading has no failed test of its own, and must not look green.
      counts.failed += module.errors().length
    }
    const skipped = counts.skipped > 0 ? `, ${String(counts.skipped)} skipped` : ''
    console.log(`\n${String(counts.passed)} passed, ${String(counts.failed)} failed${skipped}`)
  }
}
