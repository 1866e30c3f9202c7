import { parseChannel } from "@kata/protocol/wire";
import { z } from "zod";
import { askAll, tell } from "./admin-http.ts";
import { adminSettings } from "./admin-settings.ts";
import { withDirectory } from "./operator.ts";
import { plain, plainJson } from "./plain.ts";
import type { CommandLine } from "./settings.ts";
import { NO_CHANNEL, UsageError } from "./usage-error.ts";

const PageSchema = z
  .object({ channels: z.array(z.string()), next: z.string().optional() })
  .transform(({ channels: entries, next }) => ({ entries, next }));

/** Makes a spec or an agent the team's. */
export async function addChannel(channel: string, options: CommandLine): Promise<number> {
  checkRegistrable(channel);
  const to = adminSettings(options, process.env);
  if (to.nats === undefined) await tell(to, { method: "PUT", path: pathOf(channel) });
  else {
    const { teamId } = to;
    const outcome = await withDirectory(to.nats, (directory) => directory.register(teamId, channel));
    if (outcome === "taken") throw new UsageError(`${channel} belongs to another team: choose another id`);
  }
  process.stdout.write(`${channel} is registered\n`);
  return 0;
}

/** Takes it away from the team. */
export async function removeChannel(channel: string, options: CommandLine): Promise<number> {
  checkRegistrable(channel);
  const to = adminSettings(options, process.env);
  if (to.nats === undefined) await tell(to, { method: "DELETE", path: pathOf(channel) });
  else {
    const { teamId } = to;
    if (!(await withDirectory(to.nats, (directory) => directory.unregister(teamId, channel)))) {
      throw new UsageError(`team ${teamId} has not registered ${channel}: "kata channels list" shows those it has`);
    }
  }
  process.stdout.write(`${channel} is nobody's now\n`);
  return 0;
}

export async function listChannels(options: CommandLine & { readonly json?: boolean }): Promise<number> {
  const to = adminSettings(options, process.env);
  let channels: string[];
  if (to.nats === undefined) {
    channels = await askAll(to, "/v1/channels", PageSchema);
  } else {
    const { teamId } = to;
    channels = await withDirectory(to.nats, async (directory) => directory.list(teamId));
  }
  if (options.json === true) process.stdout.write(`${plainJson(JSON.stringify(channels))}\n`);
  else for (const channel of channels) process.stdout.write(`${plain(channel)}\n`);
  return 0;
}

/** @throws UsageError for what no team can register */
function checkRegistrable(channel: string): void {
  const parsed = parseChannel(channel);
  if (parsed === undefined) throw new UsageError(`${channel} ${NO_CHANNEL}`);
  if (parsed.kind === "team") {
    throw new UsageError(`${channel} is its team's by name: only spec:{id} and agent:{id} are registered`);
  }
}

function pathOf(channel: string): string {
  return `/v1/channels/${encodeURIComponent(channel)}`;
}
