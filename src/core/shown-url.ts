/**
 * A URL as it may be told: without user, password, fragment and query, any of which may let others in. What is no URL is
 * only described.
 */
export function shownUrl(url: string): string {
  if (/^s3:/i.test(url)) return url
  if (!URL.canParse(url)) return 'an address that is none'
  const { protocol, host, pathname, search } = new URL(url)
  return `${protocol}//${host}${pathname}${search === '' ? '' : '?…'}`
}
