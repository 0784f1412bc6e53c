/** An answer that refuses a request, in the words of AWS's JSON protocol. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** HTTP status. */
  readonly status: number
  /** The `__type` of the body, with its namespace. */
  readonly type: string
  /** The name that the service's older query protocol has for it (header x-amzn-query-error). */
  readonly queryCode: string | undefined
  /** Further members of the body. */
  readonly extra: Readonly<Record<string, unknown>>

  constructor(
    type: string,
    message: string,
    options: { status?: number; queryCode?: string; extra?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message)
    this.type = type
    this.status = options.status ?? 400
    this.queryCode = options.queryCode
    this.extra = options.extra ?? {}
  }

  /** The error's name without its namespace. */
  get code(): string {
    return this.type.slice(this.type.indexOf('#') + 1)
  }
}

/** The body is no JSON object, or one of its members has the wrong JSON type. */
export function serializationError(message: string): ApiError {
  return new ApiError('com.amazon.coral.service#SerializationException', message, {
    queryCode: 'MalformedInput',
  })
}

/** No such action. */
export function unknownOperation(message: string): ApiError {
  return new ApiError('com.amazon.coral.service#UnknownOperationException', message, {
    queryCode: 'InvalidAction',
  })
}
