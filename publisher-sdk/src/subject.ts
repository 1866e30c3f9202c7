import { parseChannel, subjectOf } from "@kata/protocol/wire";
import { PublisherError } from "./errors.ts";

/**
 * The NATS subject of a team's channel.
 *
 * @throws PublisherError `invalid_channel`, `forbidden`
 */
export function subjectFor(channel: string, teamId: string): string {
  const parsed = parseChannel(channel);
  if (parsed === undefined) {
    throw new PublisherError(
      "invalid_channel",
      "a channel is team:{id}, spec:{id} or agent:{id}, ids [A-Za-z0-9_-]{1,128}",
    );
  }
  if (parsed.kind === "team" && parsed.id !== teamId) {
    throw new PublisherError("forbidden", `${channel} does not belong to team ${teamId}`);
  }
  return subjectOf(parsed, teamId);
}
