import type { ChannelAccess } from "./adapters.ts";
import { Places } from "./hooks/places.ts";

export interface FairAccessOptions {
  /** Questions of one team that are asked at a time. */
  readonly perTeam: number;
  /** How long a question waits for its turn, milliseconds. */
  readonly waitMs: number;
}

/** So many of a team's questions wait at most. */
const MAX_WAITING = 1_000;

/** A question did not get its turn: too many of the same team's are before it. */
export class AccessBusyError extends Error {
  readonly code = "access_busy";
  constructor() {
    super("one team asks whose channels are, more than it is answered");
    this.name = "AccessBusyError";
  }
}

/** Asks an application whose a channel is, so that one team's questions cannot hold up those of the others. */
export class FairAccess {
  readonly #access: ChannelAccess;
  readonly #options: FairAccessOptions;
  /** Those that have questions open, and how many. */
  readonly #teams = new Map<string, { readonly places: Places; open: number }>();

  constructor(access: ChannelAccess, options: FairAccessOptions) {
    this.#access = access;
    this.#options = options;
  }

  /** How many teams it remembers: those that wait for an answer. */
  get size(): number {
    return this.#teams.size;
  }

  /** For one team. A question that does not get its turn is rejected with {@link AccessBusyError}. */
  of(teamId: string): ChannelAccess {
    return {
      resolveSpecTeamId: (id) => this.#ask(teamId, () => this.#access.resolveSpecTeamId(id)),
      resolveAgentTeamId: (id) => this.#ask(teamId, () => this.#access.resolveAgentTeamId(id)),
    };
  }

  async #ask<T>(teamId: string, question: () => Promise<T>): Promise<T> {
    const { perTeam, waitMs } = this.#options;
    const team = this.#teams.get(teamId) ?? { places: new Places(perTeam, MAX_WAITING), open: 0 };
    this.#teams.set(teamId, team);
    team.open++;
    try {
      if (!(await team.places.take(waitMs))) throw new AccessBusyError();
      try {
        return await question();
      } finally {
        team.places.leave();
      }
    } finally {
      if (--team.open === 0) this.#teams.delete(teamId);
    }
  }
}
