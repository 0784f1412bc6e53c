import { describe, expect, it } from 'vitest'
import { resolveEndpoints } from '../../../../src/matches/opthub/endpoints.ts'

describe('resolveEndpoints', () => {
  it('knows OptHub and its development environment', () => {
    expect(resolveEndpoints(false)).toEqual({
      apiUrl: 'https://tf5tepcpn5bori46x5cyxh3ehe.appsync-api.ap-northeast-1.amazonaws.com/graphql',
      cognitoUrl: 'https://cognito-idp.ap-northeast-1.amazonaws.com',
      userPoolId: 'ap-northeast-1_9TAMGx5NT',
      clientId: '7t7snlnn801j8mjsf97eaart1s',
      jwksUrl:
        'https://cognito-idp.ap-northeast-1.amazonaws.com/ap-northeast-1_9TAMGx5NT/.well-known/jwks.json',
      issuers: ['https://cognito-idp.ap-northeast-1.amazonaws.com/ap-northeast-1_9TAMGx5NT'],
    })
    expect(resolveEndpoints(true)).toMatchObject({
      apiUrl: 'https://jciqso7l7rhajfkt5s3dhybpcu.appsync-api.ap-northeast-1.amazonaws.com/graphql',
      userPoolId: 'ap-northeast-1_1Y69fktA0',
      clientId: '24nvfsrgbuvu75h4o8oj2c2oek',
    })
  })

  it('takes the region from the pool, and believes an emulator that signs in its own name', () => {
    expect(resolveEndpoints(false, { userPoolId: 'eu-west-1_Abc', clientId: 'c' })).toMatchObject({
      cognitoUrl: 'https://cognito-idp.eu-west-1.amazonaws.com',
      clientId: 'c',
    })
    const emulated = resolveEndpoints(true, {
      userPoolId: 'local_Abc',
      region: 'us-east-1',
      cognitoUrl: 'http://127.0.0.1:9229/',
      apiUrl: 'http://127.0.0.1:4000/graphql',
    })
    expect(emulated).toMatchObject({
      apiUrl: 'http://127.0.0.1:4000/graphql',
      jwksUrl: 'http://127.0.0.1:9229/local_Abc/.well-known/jwks.json',
      issuers: ['https://cognito-idp.us-east-1.amazonaws.com/local_Abc', 'http://127.0.0.1:9229/local_Abc'],
    })
  })
})
