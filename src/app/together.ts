/** As Promise.all, but settles only when all have: nothing may be opened after the cleanup. */
export async function together<T extends readonly unknown[]>(
  promises: readonly [...T],
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(promises as readonly Promise<unknown>[])
  return await Promise.all(promises)
}
