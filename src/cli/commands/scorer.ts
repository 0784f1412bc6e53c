import type { Command } from 'commander'
import type { Session } from '../io.ts'
import { defineRunner } from '../run-kind.ts'

/** The verb `scorer`. */
export function define(command: Command, session: Session): void {
  defineRunner('scorer', command, session)
}
