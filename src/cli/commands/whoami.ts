import type { Command } from 'commander'
import type { Session } from '../io.ts'
import { addConfigFlags, type SettingFlags } from '../settings.ts'

interface WhoamiFlags extends SettingFlags {
  json?: true
}

/** The verb `whoami`. */
export function define(command: Command, session: Session): void {
  addConfigFlags(command)
    .option('--json', 'print the account, its user pool and where the key is as one line of JSON')
    .addHelpText('after', '\nExit codes: 0 logged in, 1 not logged in, 69 OptHub can not be reached.')
    .action(async () => {
      await whoami(command.opts<WhoamiFlags>(), session)
    })
}

async function whoami(flags: WhoamiFlags, session: Session): Promise<void> {
  const [{ findOptHub }, { createLoginStore }, { checkStoredLogin }, { plainText }] = await Promise.all([
    import('../opthub.ts'),
    import('../../matches/opthub/token-store.ts'),
    import('../../matches/opthub/opthub.ts'),
    import('../text.ts'),
  ])
  const { stdout } = session.io
  const place = await findOptHub(session, flags)
  const username = await checkStoredLogin(place, new AbortController().signal)
  if (flags.json !== true) {
    stdout.write(`${plainText(username)}\n`)
    return
  }
  const summary = await createLoginStore(place).peek()
  const { userPoolId, apiUrl } = place.endpoints
  stdout.write(
    `${JSON.stringify({
      username,
      user_pool_id: userPoolId,
      api_url: apiUrl,
      logged_in_at: summary?.loggedInAt,
      key: summary?.key,
    })}\n`,
  )
}
