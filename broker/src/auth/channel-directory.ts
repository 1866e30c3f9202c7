import { isId, parseChannel } from "@kata/protocol/wire";
import type { Bucket } from "../store/bucket.ts";
import { Mirror } from "../store/mirror.ts";
import type { ChannelAccess } from "./adapters.ts";
import { type PageOptions, TeamQuota } from "./team-quota.ts";

/** The bucket that says which team owns which spec and agent. */
export const CHANNELS_BUCKET = "KATA_CHANNELS";

export interface ChannelDirectoryOptions {
  readonly bucket: Bucket;
  /** Between two looks at whether every change has come, milliseconds. */
  readonly auditIntervalMs: number;
  /** How long it is believed while the bucket cannot be reached, milliseconds. */
  readonly staleMs: number;
  /** How many channels a team may register; default: no limit. */
  readonly maxPerTeam?: number | undefined;
}

/** How often a registration is tried that somebody else was faster than. */
const ATTEMPTS = 5;

/** What became of the wish to register a channel. */
export type Registration = "registered" | "already" | "taken" | "invalid";

/**
 * Which team owns a spec or an agent, in a bucket that every broker watches: `spec.<id>` and `agent.<id>`, with the
 * team's id as the value. Held in memory, so that a mass reconnect asks nobody.
 */
export class ChannelDirectory implements ChannelAccess {
  readonly #bucket: Bucket;
  readonly #mirror: Mirror<string>;
  readonly #listeners: Set<(channel: string) => void>;
  readonly #quota: TeamQuota;

  private constructor(
    bucket: Bucket,
    mirror: Mirror<string>,
    listeners: Set<(channel: string) => void>,
    quota: TeamQuota,
  ) {
    this.#quota = quota;
    this.#bucket = bucket;
    this.#mirror = mirror;
    this.#listeners = listeners;
  }

  /** @throws StoreUnavailableError if the bucket cannot be read */
  static async open(options: ChannelDirectoryOptions): Promise<ChannelDirectory> {
    const listeners = new Set<(channel: string) => void>();
    const quota = new TeamQuota("registered channels", options.maxPerTeam ?? 0);
    const mirror = await Mirror.open<string>({
      ...options,
      decode(value) {
        const team = Buffer.from(value).toString("utf8");
        return isId(team) ? team : undefined;
      },
      onChange(key, now, before) {
        if (now === before) return;
        const place = key.replace(".", ":");
        quota.changed(
          now === undefined ? undefined : { teamId: now, place },
          before === undefined ? undefined : { teamId: before, place },
        );
        for (const listener of [...listeners]) listener(place);
      },
    });
    return new ChannelDirectory(options.bucket, mirror, listeners, quota);
  }

  async resolveSpecTeamId(specId: string): Promise<string | undefined> {
    return this.#mirror.get(`spec.${specId}`);
  }

  async resolveAgentTeamId(agentId: string): Promise<string | undefined> {
    return this.#mirror.get(`agent.${agentId}`);
  }

  onOwnerChanged(listener: (channel: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Makes a spec or an agent the team's, unless it is another's. @throws QuotaError, StoreUnavailableError */
  async register(teamId: string, channel: string): Promise<Registration> {
    const key = keyOf(channel);
    if (key === undefined || !isId(teamId)) return "invalid";
    if (this.#mirror.get(key) !== teamId) this.#quota.check(teamId);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const revision = await this.#bucket.create(key, Buffer.from(teamId));
      if (revision !== undefined) {
        await this.#mirror.reached(revision);
        return "registered";
      }
      const entry = await this.#bucket.get(key);
      if (entry !== undefined) return Buffer.from(entry.value).toString("utf8") === teamId ? "already" : "taken";
      // Unregistered between the two.
    }
    throw new Error("the channel was changed by others again and again: try once more");
  }

  /** Whether it was the team's; it is nobody's now. @throws StoreUnavailableError */
  async unregister(teamId: string, channel: string): Promise<boolean> {
    const key = keyOf(channel);
    if (key === undefined) return false;
    const entry = await this.#bucket.get(key);
    if (entry === undefined || Buffer.from(entry.value).toString("utf8") !== teamId) return false;
    if (!(await this.#bucket.delete(key, entry.revision))) return false;
    await this.#mirror.caughtUp();
    return true;
  }

  /** The specs and agents of a team, by name. @throws StoreUnavailableError */
  list(teamId: string): string[] {
    return [...this.page(teamId, { limit: Number.POSITIVE_INFINITY }).channels];
  }

  /** Some of them, and behind which the next page begins, if there is one. @throws StoreUnavailableError */
  page(
    teamId: string,
    options: PageOptions,
  ): { readonly channels: readonly string[]; readonly next?: string | undefined } {
    this.#mirror.mustBeFresh();
    const { places, more } = this.#quota.page(teamId, options);
    return { channels: places, next: more ? places.at(-1) : undefined };
  }

  /** The connection to the store is back. */
  reconnected(): Promise<void> {
    return this.#mirror.reconnected();
  }

  close(): void {
    this.#mirror.close();
    this.#listeners.clear();
  }
}

/** A team's own channel is its own by name: it is not registered. */
function keyOf(channel: string): string | undefined {
  const parsed = parseChannel(channel);
  return parsed === undefined || parsed.kind === "team" ? undefined : `${parsed.kind}.${parsed.id}`;
}
