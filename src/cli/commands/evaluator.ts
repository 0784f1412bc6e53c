import type { Command } from 'commander'
import type { Session } from '../io.ts'
import { defineRunner } from '../run-kind.ts'

/** The verb `evaluator`. */
export function define(command: Command, session: Session): void {
  defineRunner('evaluator', command, session)
}
