import type { Match, MatchSource } from './matches.ts'

/** Whether matches must, may or need not come from OptHub, by the ids that `matches:` of the config has. */
export function needOfOptHub(ids: readonly string[]): 'required' | 'possible' | 'none' {
  if (ids.includes('*')) return 'none'
  return ids.length === 0 ? 'required' : 'possible'
}

/** Matches that the config has come from there, all others from OptHub. `ids` are the config's, without `*`. */
export function chooseSource(
  ids: readonly string[],
  configured: MatchSource,
  remote: MatchSource,
): MatchSource {
  const own = new Set(ids.map(bareId))
  return {
    resolve: (matchId, signal): Promise<Match> =>
      (own.has(bareId(matchId)) ? configured : remote).resolve(matchId, signal),
  }
}

function bareId(id: string): string {
  return id.replace(/^Match#/, '').toLowerCase()
}
