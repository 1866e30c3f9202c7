import { createHash } from "node:crypto";
import { type Channel, parseChannel, subjectOf } from "@kata/protocol/wire";
import type { User } from "@nats-io/jwt";
import type { ApiKeyPrincipal } from "../auth/principal.ts";

/** What nats.conf takes in one message, bytes. */
const MAX_PAYLOAD = 1024 * 1024;
/** A publisher needs two: one for acknowledgements, one for answers. */
const MAX_SUBSCRIPTIONS = 16;

/**
 * What a publisher's NATS user may do: publish to its team's channels, ask the broker about its own team, read its own
 * inbox. Everything else is refused, the stream API, KV, `live.>` and other inboxes among it [NATS-2].
 */
export function permissionsOf(principal: ApiKeyPrincipal, key: string): Partial<User> {
  const { teamId } = principal;
  const publish = [...channelSubjects(principal), `kata.publisher.${teamId}.>`, "$SYS.REQ.USER.INFO"];
  return {
    pub: { allow: publish, deny: [] },
    sub: { allow: [`${inboxPrefixOf(key)}.>`], deny: [] },
    subs: MAX_SUBSCRIPTIONS,
    payload: MAX_PAYLOAD,
    data: -1,
    // Not as a leaf node or over MQTT, whose users have needs and rights of their own.
    allowed_connection_types: ["STANDARD", "WEBSOCKET"],
  };
}

/** The subjects of the channels that the key may publish to; of its own team, whatever the key is limited to. */
function channelSubjects({ teamId, channels }: ApiKeyPrincipal): string[] {
  const limits = channels ?? ["team:*", "spec:*", "agent:*"];
  const subjects = limits.map((limit) => subjectOfLimit(limit, teamId)).filter((each) => each !== undefined);
  return [...new Set(subjects)];
}

function subjectOfLimit(limit: string, teamId: string): string | undefined {
  if (limit === "team:*") return `kata.team.${teamId}`;
  const kind = /^(spec|agent):\*$/.exec(limit)?.[1];
  if (kind !== undefined) return `kata.team.${teamId}.${kind}.*`;
  const channel: Channel | undefined = parseChannel(limit);
  if (channel === undefined || (channel.kind === "team" && channel.id !== teamId)) return undefined;
  return subjectOf(channel, teamId);
}

/**
 * The prefix of a key's inbox, which the publisher computes as well. Nobody without the key can name it: an answer
 * could be sent into any inbox that is known.
 */
export function inboxPrefixOf(key: string): string {
  return `_INBOX_${createHash("sha256").update(`kata-inbox ${key}`).digest("hex").slice(0, 32)}`;
}
