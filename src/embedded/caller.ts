/** The client behind a request, as far as an action needs to know. */
export interface Caller {
  /** Aborted when the client goes away before it can have got the answer. */
  readonly gone: AbortSignal
  /** Who signed the request. */
  readonly accessKeyId: string
}
