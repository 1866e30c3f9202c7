import type { ChannelDirectory } from "../auth/channel-directory.ts";
import type { AdminRequest, Outcome } from "./admin-route.ts";
import { parsePage } from "./page-query.ts";
import { EXPLAINED } from "./wire-error.ts";

/** What the routes need of the directory. */
export type ChannelAdmin = Pick<ChannelDirectory, "register" | "unregister" | "page">;

/** `PUT /v1/channels/{channel}` [CHANNELS-1]. */
export async function registerChannel(
  channels: ChannelAdmin,
  { principal, parameter }: AdminRequest,
): Promise<Outcome> {
  const body = { channel: parameter, teamId: principal.teamId };
  switch (await channels.register(principal.teamId, parameter)) {
    case "registered":
      return { status: 201, body, changed: `${parameter} was registered` };
    case "already":
      return { status: 200, body };
    case "taken":
      return { code: "taken", message: "this id is not free: choose another" };
    case "invalid":
      return {
        code: "invalid_channel",
        message: `${EXPLAINED.invalid_channel}; a team's own channel is not registered`,
      };
  }
}

/** `GET /v1/channels` [CHANNELS-2]. */
export function listChannels(channels: ChannelAdmin, { principal, query }: AdminRequest): Outcome {
  const page = parsePage(query);
  if ("problem" in page) return { code: "bad_request", message: page.problem };
  return { status: 200, body: channels.page(principal.teamId, page) };
}

/** `DELETE /v1/channels/{channel}` [CHANNELS-3]. */
export async function unregisterChannel(channels: ChannelAdmin, request: AdminRequest): Promise<Outcome> {
  const { principal, parameter } = request;
  if (await channels.unregister(principal.teamId, parameter)) {
    return { status: 204, changed: `${parameter} was unregistered` };
  }
  return { code: "not_found", message: "your team has not registered such a channel" };
}
