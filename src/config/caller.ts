import type { Environment } from './problem.ts'

/** The environment of this process, for those who were given no other. */
export function ownEnvironment(): Environment {
  return process.env
}

/** Who runs this process; undefined where users have no numbers (Windows). */
export function ownUser(): { uid: number; gid: number } | undefined {
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  return uid === undefined || gid === undefined ? undefined : { uid, gid }
}
