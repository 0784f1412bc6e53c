import type { Config } from '../config/schema.ts'
import { resolveEndpoints, type OptHubEndpoints } from '../matches/opthub/endpoints.ts'
import { loadSettings, type SettingFlags } from './settings.ts'
import type { Session } from './io.ts'

/** The OptHub that the config names, and the data folder with its stored login. */
export interface OptHubPlace {
  endpoints: OptHubEndpoints
  dataDir: string
}

/** The OptHub of a call. */
export async function findOptHub(session: Session, flags: SettingFlags): Promise<OptHubPlace> {
  const { config, dataDir } = await loadSettings(session, flags, () => [])
  return { endpoints: endpointsOf(config, flags), dataDir }
}

/** OptHub's endpoints by the config, or with --dev those of its development environment. */
export function endpointsOf({ opthub }: Config, { dev }: SettingFlags): OptHubEndpoints {
  return resolveEndpoints(dev === true, {
    apiUrl: opthub.api_url,
    clientId: opthub.client_id,
    userPoolId: opthub.user_pool_id,
    region: opthub.region,
    cognitoUrl: opthub.cognito_url,
  })
}
