import type { Command } from 'commander'
import type { Session } from '../io.ts'
import { addConfigFlags, type SettingFlags } from '../settings.ts'

/** The verb `logout`. */
export function define(command: Command, session: Session): void {
  addConfigFlags(command)
    .addHelpText('after', '\nRunners that use the stored login pause until somebody logs in again.')
    .action(async () => {
      await logout(command.opts<SettingFlags>(), session)
    })
}

async function logout(flags: SettingFlags, session: Session): Promise<void> {
  const [{ findOptHub }, { logOut }, { plainText }] = await Promise.all([
    import('../opthub.ts'),
    import('../../matches/opthub/opthub.ts'),
    import('../text.ts'),
  ])
  const { stdout, stderr } = session.io
  const outcome = await logOut(await findOptHub(session, flags), new AbortController().signal)
  if (outcome === undefined) {
    stdout.write('Nobody was logged in\n')
    return
  }
  const { username, ended } = outcome
  stdout.write(username === undefined ? 'Logged out\n' : `Logged out ${plainText(username)}\n`)
  if (!ended) {
    stderr.write(
      'Note: OptHub could not be told. The login is removed here; there it ends by itself in some weeks.\n',
    )
  }
}
