/** A team has as many of something as it may have. */
export class QuotaError extends Error {
  readonly code = "quota_exceeded";
  constructor(what: string, most: number) {
    super(`a team has at most ${most} ${what}: end some that are not needed`);
    this.name = "QuotaError";
  }
}

/** One of them, as its team lists it. */
export interface TeamEntry {
  readonly teamId: string;
  /** Names it, and says by its order as a text where it stands in a list. */
  readonly place: string;
}

export interface PageOptions {
  /** The place behind which it begins, which need not be there any more; default: the beginning. */
  readonly after?: string | undefined;
  /** Entries at most. */
  readonly limit: number;
}

/** Which of something each team has, of what every broker holds in memory and reads when it starts. */
export class TeamQuota {
  readonly #what: string;
  readonly #most: number;
  readonly #teams = new Map<string, { readonly places: Set<string>; sorted?: readonly string[] | undefined }>();

  /** @param most 0: no limit */
  constructor(what: string, most: number) {
    this.#what = what;
    this.#most = most;
  }

  /** One of them belongs to another team now, or to none, or stands elsewhere. */
  changed(now: TeamEntry | undefined, before: TeamEntry | undefined): void {
    if (now?.teamId === before?.teamId && now?.place === before?.place) return;
    const left = before && this.#teams.get(before.teamId);
    if (before !== undefined && left?.places.delete(before.place) === true) {
      left.sorted = undefined;
      if (left.places.size === 0) this.#teams.delete(before.teamId);
    }
    if (now === undefined) return;
    const team = this.#teams.get(now.teamId) ?? { places: new Set() };
    this.#teams.set(now.teamId, team);
    team.places.add(now.place);
    team.sorted = undefined;
  }

  /** @throws QuotaError if the team may have no further one */
  check(teamId: string): void {
    const count = this.#teams.get(teamId)?.places.size ?? 0;
    if (this.#most > 0 && count >= this.#most) throw new QuotaError(this.#what, this.#most);
  }

  /** The places of those that the team has, in their order, and whether there are more behind them. */
  page(
    teamId: string,
    { after = "", limit }: PageOptions,
  ): { readonly places: readonly string[]; readonly more: boolean } {
    const team = this.#teams.get(teamId);
    if (team === undefined) return { places: [], more: false };
    // Sorted once for all who ask until something changes: a large team that lists again and again holds up nobody.
    team.sorted ??= [...team.places].sort();
    const start = firstBehind(team.sorted, after);
    return { places: team.sorted.slice(start, start + limit), more: start + limit < team.sorted.length };
  }
}

function firstBehind(sorted: readonly string[], after: string): number {
  let from = 0;
  let to = sorted.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((sorted[middle] as string) > after) to = middle;
    else from = middle + 1;
  }
  return from;
}
