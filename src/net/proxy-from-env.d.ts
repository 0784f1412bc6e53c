declare module 'proxy-from-env' {
  /** By HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in either case of letters; '' = none. */
  export function getProxyForUrl(url: string): string
}
