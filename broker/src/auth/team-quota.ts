/** A team has as many of something as it may have. */
export class QuotaError extends Error {
  readonly code = "quota_exceeded";
  constructor(what: string, most: number) {
    super(`a team has at most ${most} ${what}: end some that are not needed`);
    this.name = "QuotaError";
  }
}

/** How many of something each team has, of what every broker holds in memory and reads when it starts. */
export class TeamQuota {
  readonly #what: string;
  readonly #most: number;
  readonly #counts = new Map<string, number>();

  /** @param most 0: no limit */
  constructor(what: string, most: number) {
    this.#what = what;
    this.#most = most;
  }

  /** One of them belongs to another team now, or to none. */
  changed(now: string | undefined, before: string | undefined): void {
    if (now === before) return;
    if (before !== undefined) this.#add(before, -1);
    if (now !== undefined) this.#add(now, 1);
  }

  /** @throws QuotaError if the team may have no further one */
  check(teamId: string): void {
    if (this.#most > 0 && (this.#counts.get(teamId) ?? 0) >= this.#most) throw new QuotaError(this.#what, this.#most);
  }

  #add(teamId: string, amount: number): void {
    const count = (this.#counts.get(teamId) ?? 0) + amount;
    if (count > 0) this.#counts.set(teamId, count);
    else this.#counts.delete(teamId);
  }
}
