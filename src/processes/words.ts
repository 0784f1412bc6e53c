import type { ProcessRecord } from './record.ts'

/** `evaluator of pid 12 on host, since 2026-…, 2 jobs under way`. */
export function describeProcess({ kind, pid, hostname, startedAt, jobs, stopping }: ProcessRecord): string {
  const { active } = jobs
  const parts = [`the ${kind || 'process'} of pid ${pid} on ${hostname}`, `since ${startedAt}`]
  if (active > 0) parts.push(`${active} job${active === 1 ? '' : 's'} under way`)
  if (stopping !== undefined) parts.push('stopping')
  return parts.join(', ')
}

/** A name as a word of a shell's command line. */
export function quoteName(name: string): string {
  return /^[\w@%+=:,./-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`
}
