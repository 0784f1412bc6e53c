/** The parts of dynalite 4.0.0 (exact version) that are used here: its parsers, validations and actions, not its server. */
declare module 'dynalite/validations/index.js' {
  interface Validations {
    /** Returns the parameters that `types` names; throws an Error with statusCode and body for a wrong JSON type. */
    checkTypes(data: unknown, types: unknown): Record<string, unknown>
    /** Checks values and parses expressions into `data._condition` and the like; throws as checkTypes does. */
    checkValidations(data: unknown, types: unknown, custom: unknown, store: unknown): void
  }
  const validations: Validations
  export default validations
}

declare module 'dynalite/db/index.js' {
  interface Page {
    Count: number
    /** Absent when only the count is wanted. */
    Items?: Record<string, unknown>[] | undefined
  }
  interface Db {
    /** The table key of an item or key. */
    createKey(item: unknown, table: unknown): string
    /** An error unless `key` has exactly the table's key attributes, of the right types. */
    validateKey(key: unknown, table: unknown): Error | null | undefined
    /** An error when the condition in `data` does not hold for `item`. */
    checkConditional(data: unknown, item: unknown): Error | null | undefined
    /** What of an item is at the paths. */
    mapPaths(paths: readonly unknown[], item: Record<string, unknown>): Record<string, unknown>
    /** Reads a page of a table or index, filters it and takes from its items what is asked for. */
    queryTable: (
      store: unknown,
      table: unknown,
      data: unknown,
      options: unknown,
      isLocal: unknown,
      fetchFromItems: unknown,
      startKeyNames: unknown,
      callback: (error: unknown, page?: Page) => void,
    ) => void
  }
  const db: Db
  export default db
}
