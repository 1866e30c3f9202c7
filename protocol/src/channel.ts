/** The kinds of channel a client can subscribe to. */
export const CHANNEL_KINDS = ["team", "spec", "agent"] as const;
export type ChannelKind = (typeof CHANNEL_KINDS)[number];

/** A parsed channel name: `team:t1` is `{kind: "team", id: "t1", name: "team:t1"}`. */
export interface Channel {
  readonly kind: ChannelKind;
  readonly id: string;
  readonly name: string;
}

/** [CHANNEL-1] Nothing that NATS reads as a token separator or wildcard may ever reach a subject. */
const ID = /^[A-Za-z0-9_-]{1,128}$/;
const CHANNEL = /^(team|spec|agent):([A-Za-z0-9_-]{1,128})$/;

/** Whether `id` can name a team, spec or agent: `[A-Za-z0-9_-]{1,128}`. */
export function isId(id: unknown): id is string {
  return typeof id === "string" && ID.test(id);
}

/** Parses `team:{id}`, `spec:{id}` or `agent:{id}`; `undefined` for anything else. */
export function parseChannel(name: unknown): Channel | undefined {
  if (typeof name !== "string") return undefined;
  const match = CHANNEL.exec(name);
  if (match === null) return undefined;
  return { kind: match[1] as ChannelKind, id: match[2] as string, name };
}

/** The name of the stream that holds every channel's events. */
export const STREAM = "KATA";
/** What every event's subject starts with. */
export const SUBJECT_PREFIX = "kata.team.";
/** What the server puts before a stored message's subject when it republishes it to live readers. */
export const LIVE_PREFIX = "live.";

/**
 * The NATS subject of a channel that belongs to `teamId`: `kata.team.{teamId}[.spec.{id}|.agent.{id}]`.
 * A subject cannot be formed without the owning team, so a foreign team's channel has none.
 *
 * @throws TypeError if `teamId` is no id, or if a `team:` channel is asked for another team than its own.
 */
export function subjectOf(channel: Channel, teamId: string): string {
  if (!isId(teamId)) throw new TypeError("teamId must match [A-Za-z0-9_-]{1,128}");
  if (channel.kind === "team") {
    if (channel.id !== teamId) throw new TypeError(`${channel.name} does not belong to team ${teamId}`);
    return `${SUBJECT_PREFIX}${teamId}`;
  }
  return `${SUBJECT_PREFIX}${teamId}.${channel.kind}.${channel.id}`;
}
