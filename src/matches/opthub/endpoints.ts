/** Where an OptHub is, and who this program is to it. */
export interface OptHubEndpoints {
  /** The GraphQL API. */
  apiUrl: string
  /** Cognito's JSON protocol. */
  cognitoUrl: string
  userPoolId: string
  /** The app client of the user pool. */
  clientId: string
  /** The public keys of the user pool. */
  jwksUrl: string
  /** What may stand in a token as its issuer. */
  issuers: readonly string[]
}

/** What a config says otherwise, for tests and self-hosting. */
export interface EndpointOverrides {
  apiUrl?: string | undefined
  clientId?: string | undefined
  userPoolId?: string | undefined
  /** Left out = the one in the user pool's id. */
  region?: string | undefined
  /** Left out = Amazon's, in the region. */
  cognitoUrl?: string | undefined
}

const PRODUCTION = {
  apiUrl: 'https://tf5tepcpn5bori46x5cyxh3ehe.appsync-api.ap-northeast-1.amazonaws.com/graphql',
  userPoolId: 'ap-northeast-1_9TAMGx5NT',
  clientId: '7t7snlnn801j8mjsf97eaart1s',
}

const DEVELOPMENT = {
  apiUrl: 'https://jciqso7l7rhajfkt5s3dhybpcu.appsync-api.ap-northeast-1.amazonaws.com/graphql',
  userPoolId: 'ap-northeast-1_1Y69fktA0',
  clientId: '24nvfsrgbuvu75h4o8oj2c2oek',
}

/** The endpoints of OptHub, or of its development environment, with what the config says otherwise. */
export function resolveEndpoints(dev: boolean, overrides: EndpointOverrides = {}): OptHubEndpoints {
  const known = dev ? DEVELOPMENT : PRODUCTION
  const userPoolId = overrides.userPoolId ?? known.userPoolId
  const region = overrides.region ?? userPoolId.split('_', 1)[0] ?? ''
  const amazon = `https://cognito-idp.${region}.amazonaws.com`
  const cognitoUrl = overrides.cognitoUrl?.replace(/\/+$/, '') ?? amazon
  return {
    apiUrl: overrides.apiUrl ?? known.apiUrl,
    cognitoUrl,
    userPoolId,
    clientId: overrides.clientId ?? known.clientId,
    jwksUrl: `${cognitoUrl}/${userPoolId}/.well-known/jwks.json`,
    // Some emulators sign as Amazon does, others in their own name.
    issuers: [...new Set([`${amazon}/${userPoolId}`, `${cognitoUrl}/${userPoolId}`])],
  }
}
