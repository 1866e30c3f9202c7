import { parseChannel, subjectOf } from "@kata/protocol/wire";
import { tellable } from "./adapter-error.ts";
import type { ChannelAccess } from "./adapters.ts";
import { mayUse, type Principal } from "./principal.ts";

export type Authorization =
  | { readonly subject: string; readonly errorCode?: undefined }
  | { readonly subject?: undefined; readonly errorCode: "invalid_channel" | "forbidden" | "unavailable" };

/**
 * The NATS subject of a channel, if the principal's team owns it. The subject is the result of authorization: it cannot
 * be formed without the owning team. A channel of another team and one that nobody knows get the same answer [SUBSCRIBE-3];
 * an adapter that throws is an outage, never a pass [SUBSCRIBE-7].
 */
export async function authorizeChannel(
  name: string,
  principal: Principal,
  access: ChannelAccess,
  onAdapterError?: (adapter: string, error: unknown) => void,
): Promise<Authorization> {
  const channel = parseChannel(name);
  if (channel === undefined) return { errorCode: "invalid_channel" };
  if (!mayUse(principal, name)) return { errorCode: "forbidden" };
  let owner: string | undefined = channel.id;
  if (channel.kind !== "team") {
    try {
      owner = await (channel.kind === "spec"
        ? access.resolveSpecTeamId(channel.id)
        : access.resolveAgentTeamId(channel.id));
    } catch (error) {
      onAdapterError?.("ChannelAccess", tellable(error));
      return { errorCode: "unavailable" };
    }
  }
  if (owner !== principal.teamId) return { errorCode: "forbidden" };
  return { subject: subjectOf(channel, principal.teamId) };
}
