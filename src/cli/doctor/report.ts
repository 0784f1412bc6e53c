import { Chalk } from 'chalk'
import { redact } from '../../core/redact.ts'
import { escapeControls } from '../../core/text.ts'
import { wantsColor, type Output, type Session } from '../io.ts'
import type { CheckResult } from './finding.ts'

/** Where findings go as they come. */
export interface Report {
  add(result: CheckResult): void
  end(): void
}

/** Lines for people as the findings come, or one JSON document at the end; without secrets. */
export function openReport(session: Session, json: boolean, output: Output = session.io.stdout): Report {
  const { io } = session
  const results: CheckResult[] = []
  const colors = new Chalk({ level: wantsColor(output, io.environment) ? 1 : 0 })
  const marks = { ok: colors.green('✔'), failed: colors.red('✖'), unchecked: colors.dim('–') }
  const write = (text: string): void => {
    // The settings are known by now, and what of them is secret.
    output.write(`${redact(text, session.secrets)}\n`)
  }

  return {
    add(result) {
      results.push(result)
      if (json) return
      const { status, title, detail } = result
      const line = `${marks[status]} ${colors.bold(clean(title))}: ${clean(detail).replaceAll('\n', '\n    ')}`
      write(
        status === 'failed' ? `${line}\n    fix: ${clean(result.fix).replaceAll('\n', '\n         ')}` : line,
      )
    },
    end() {
      const failures = results.filter(({ status }) => status === 'failed').length
      if (json) {
        write(JSON.stringify({ ok: failures === 0, checks: results }, null, 2))
        return
      }
      const verdict = failures === 0 ? 'All is well.' : `${failures} of ${results.length} checks failed.`
      write(`\n${colors.bold(verdict)}`)
    },
  }
}

/** Texts of engines, registries and servers may hold anything. */
function clean(text: string): string {
  return escapeControls(text).trim()
}
