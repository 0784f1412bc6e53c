import type { Command } from 'commander'
import type { Session } from '../io.ts'
import { addLoginFlags, askForAccount, type LoginFlags } from '../login-prompts.ts'
import { addConfigFlags, type SettingFlags } from '../settings.ts'
import { releaseTerminal } from '../typed-lines.ts'

/** The verb `login`. */
export function define(command: Command, session: Session): void {
  addLoginFlags(addConfigFlags(command)).action(async () => {
    try {
      await login(command.opts<SettingFlags & LoginFlags>(), session)
    } finally {
      releaseTerminal(session.io)
    }
  })
}

async function login(flags: SettingFlags & LoginFlags, session: Session): Promise<void> {
  const [{ findOptHub }, { createLoginStore }, { logIn }, { plainText }] = await Promise.all([
    import('../opthub.ts'),
    import('../../matches/opthub/token-store.ts'),
    import('../../matches/opthub/opthub.ts'),
    import('../text.ts'),
  ])
  const { io } = session
  const place = await findOptHub(session, flags)
  const stored = await createLoginStore(place).peek()
  const account = await askForAccount({ io, flags, stored: stored?.username })
  session.secrets = [...session.secrets, account.password]
  const { username, keyFile } = await logIn(account, place, new AbortController().signal)
  if (keyFile !== undefined) {
    io.stderr.write(
      `Note: this system has no keyring that can be used. The login is encrypted, but its key lies beside it in ${keyFile} (readable by you only).\n`,
    )
  }
  io.stdout.write(`Logged in as ${plainText(username)}\n`)
}
