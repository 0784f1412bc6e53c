import type { Config } from '../../config/schema.ts'
import type { Environment } from '../../config/problem.ts'
import { OperatorError } from '../../core/errors.ts'
import type { Logger } from '../../core/log.ts'
import type { TrialKindName } from '../../kinds/index.ts'
import { needOfOptHub } from '../../matches/choose-source.ts'
import type { Match } from '../../matches/matches.ts'
import type { OptHubEndpoints } from '../../matches/opthub/endpoints.ts'
import type { Account } from '../../matches/opthub/opthub.ts'
import { checkImage, imageChecks, imagesOf, type FoundEngine } from './docker-checks.ts'
import { failed, failedBy, ok, unchecked, type Check, type Finding } from './finding.ts'

export interface MatchContext {
  config: Config
  kinds: readonly TrialKindName[]
  local: boolean
  environment: Environment
  found: Promise<FoundEngine>
  endpoints: OptHubEndpoints
  dataDir: string
  /** A match of OptHub to look at. */
  matchId: string | undefined
  log: Logger
  signal: AbortSignal
}

const ASK_ADMINISTRATOR =
  "Check the UUID, and log in with the competition administrator's account: `opthub-runner login`."

/** Which of a match's images a kind runs. */
const PART = { evaluator: 'problem', scorer: 'indicator' } as const satisfies Record<
  TrialKindName,
  keyof Match
>

/** Matches, their images, and the login that they need where they are OptHub's. */
export function matchChecks(context: MatchContext): Check[] {
  const { config, kinds, local, matchId } = context
  const ids = Object.keys(config.matches)
  const need = local ? 'none' : needOfOptHub(ids)
  const parts = kinds.map((kind) => PART[kind])
  const login: Check = { id: 'login', title: 'OptHub login', run: () => checkLogin(need, context) }
  if (ids.length === 0) {
    if (need === 'required') return [login, ...checksOfOptHub(matchId, context)]
    return [{ id: 'match', title: 'Matches', run: () => Promise.resolve(unchecked('there are none')) }, login]
  }
  return [
    { id: 'match', title: 'Matches', run: () => Promise.resolve(judgeMatches(config, kinds)) },
    ...imageChecks(imagesOf(config, parts), context),
    login,
    ...(need === 'none' || matchId === undefined || isAmong(ids, matchId)
      ? []
      : checksOfOptHub(matchId, context)),
  ]
}

function isAmong(ids: readonly string[], matchId: string): boolean {
  return ids.some((id) => id.toLowerCase() === matchId.toLowerCase())
}

function judgeMatches({ matches }: Config, kinds: readonly TrialKindName[]): Finding {
  const entries = Object.entries(matches)
  for (const kind of kinds) {
    const part = PART[kind]
    const without = entries.filter(([, match]) => match[part] === undefined).map(([id]) => id)
    if (without.length === 0) continue
    return failed(
      `the ${kind} has nothing to run for ${without.join(', ')}: messages of such a match would wait for ever`,
      `Write \`${part}: {image: …}\` under it in the config file, or check one kind alone by --kind.`,
    )
  }
  return ok(`${entries.map(([id]) => id).join(', ')} in the config file`)
}

function checksOfOptHub(matchId: string | undefined, context: MatchContext): Check[] {
  const resolved = new Map(
    context.kinds.map((kind) => {
      const match = matchId === undefined ? Promise.resolve(undefined) : resolveMatch(matchId, kind, context)
      match.catch(() => undefined)
      return [kind, match] as const
    }),
  )
  return [
    {
      id: 'match:opthub',
      title: 'Match of OptHub',
      async run() {
        if (matchId === undefined) return unchecked('none was named: name one by --match <uuid>')
        try {
          for (const match of resolved.values()) await match
          return ok(`this account may run ${matchId}`)
        } catch (error) {
          if (error instanceof OperatorError) return unchecked('the login does not work')
          return failedBy(error, ASK_ADMINISTRATOR)
        }
      },
    },
    ...[...resolved].map(([kind, match]) => ({
      id: `image:${PART[kind]}`,
      title: `Image of its ${PART[kind]}`,
      run: () => checkResolved(match, kind, context),
    })),
  ]
}

/** As a runner that is started now would log in. */
function accountOf({ OPTHUB_USERNAME: username, OPTHUB_PASSWORD: password }: Environment): Account {
  if (username === undefined || username === '' || password === undefined || password === '') return 'stored'
  return { username, password, remember: false }
}

async function checkLogin(
  need: ReturnType<typeof needOfOptHub>,
  { local, environment, endpoints, dataDir, log, signal }: MatchContext,
): Promise<Finding> {
  if (need === 'none') {
    return unchecked(local ? 'OptHub knows nothing of this machine' : 'the matches stand in the config file')
  }
  const [{ checkStoredLogin, connectOptHub }, { createLoginStore }] = await Promise.all([
    import('../../matches/opthub/opthub.ts'),
    import('../../matches/opthub/token-store.ts'),
  ])
  const account = accountOf(environment)
  try {
    if (account !== 'stored') {
      const options = { endpoints, account, role: 'problem' as const, ttlSeconds: 60, dataDir, log }
      const opthub = await connectOptHub(options, signal)
      await opthub.close()
      return ok(`${opthub.username}, by OPTHUB_USERNAME and OPTHUB_PASSWORD`)
    }
    const stored = await createLoginStore({ endpoints, dataDir }).peek()
    if (stored === undefined && need === 'possible')
      return unchecked('nobody is logged in, and matches stand in the config file')
    return ok(`${await checkStoredLogin({ endpoints, dataDir }, signal)}, as stored by \`login\``)
  } catch (error) {
    return failedBy(error)
  }
}

async function resolveMatch(matchId: string, kind: TrialKindName, context: MatchContext): Promise<Match> {
  const { environment, endpoints, dataDir, log, signal } = context
  const { connectOptHub } = await import('../../matches/opthub/opthub.ts')
  const options = {
    endpoints,
    account: accountOf(environment),
    role: PART[kind],
    ttlSeconds: 60,
    dataDir,
    log,
  }
  const opthub = await connectOptHub(options, signal)
  try {
    return await opthub.source.resolve(matchId, signal)
  } finally {
    await opthub.close()
  }
}

async function checkResolved(
  resolved: Promise<Match | undefined>,
  kind: TrialKindName,
  context: MatchContext,
): Promise<Finding> {
  const match = await resolved.catch(() => undefined)
  const part = PART[kind]
  const recipe = match?.[part]
  if (match === undefined || recipe === undefined) return unchecked('its match is not known')
  const { config } = context
  const platform = recipe.limits?.platform ?? config.limits.platform ?? config.docker.platform
  return await checkImage({ image: recipe.image, platform, use: `${part} of match ${match.id}` }, context)
}
