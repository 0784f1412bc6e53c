import { nearest } from '../core/nearest.ts'

/** Names of AWS's regions, to recognise a misspelt one; new ones need no release, they are only not suggested. */
const REGIONS = [
  'af-south-1',
  ...'ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2'.split(' '),
  ...'ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6'.split(' '),
  ...'ap-southeast-7 ca-central-1 ca-west-1 cn-north-1 cn-northwest-1 eu-central-1 eu-central-2'.split(' '),
  ...'eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1'.split(' '),
  ...'me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-gov-east-1 us-gov-west-1'.split(' '),
  ...'us-west-1 us-west-2'.split(' '),
] as const satisfies readonly string[]

/** Whether AWS has such a region. */
export function isKnownRegion(region: string): boolean {
  return REGIONS.includes(region)
}

/** What to do about a region whose services can't be found, e.g. `Did you mean ap-northeast-1?` */
export function regionHint(region: string): string {
  if (isKnownRegion(region)) {
    return 'The region exists: check the network connection and the DNS of this machine.'
  }
  const suggestion = nearest(region, REGIONS)
  const meant = suggestion === undefined ? '' : ` Did you mean ${suggestion}?`
  return `Set region_name in the config file to a region of AWS.${meant}`
}
