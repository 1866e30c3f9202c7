import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { UsageError } from "./usage-error.ts";

/** What `npm start` leaves behind for tools beside it. */
const DevFileSchema = z.object({
  httpUrl: z.string(),
  wsUrl: z.string(),
  natsUrl: z.string(),
  teamId: z.string(),
  apiKey: z.string(),
});
type DevFile = z.infer<typeof DevFileSchema>;

/** What the command line says; the environment and then the development broker's file fill in the rest. */
export interface CommandLine {
  readonly url?: string;
  readonly apiKey?: string;
  readonly nats?: string;
  readonly team?: string;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Where to read, and with which key. @throws UsageError if nothing says so */
export function readerSettings(given: CommandLine, env: Env): { url: string; apiKey: string } {
  const url = given.url ?? set(env.KATA_URL);
  const apiKey = given.apiKey ?? set(env.KATA_API_KEY);
  if (url !== undefined && apiKey !== undefined) return { url, apiKey };
  const dev = devFile(env);
  const known = { url: url ?? dev?.wsUrl, apiKey: apiKey ?? dev?.apiKey };
  if (known.url === undefined || known.apiKey === undefined) {
    throw new UsageError(`no broker is known: run "npm start" here, or set KATA_URL and KATA_API_KEY`);
  }
  return { url: known.url, apiKey: known.apiKey };
}

/** Where to publish, and for which team. @throws UsageError if nothing says so */
export function publisherSettings(given: CommandLine, env: Env): { servers: string; teamId: string } {
  const servers = given.nats ?? set(env.NATS_URL);
  const teamId = given.team ?? set(env.KATA_TEAM);
  if (servers !== undefined && teamId !== undefined) return { servers, teamId };
  const dev = devFile(env);
  const known = { servers: servers ?? dev?.natsUrl, teamId: teamId ?? dev?.teamId };
  if (known.servers === undefined || known.teamId === undefined) {
    throw new UsageError(`no NATS is known: run "npm start" here, or set NATS_URL and KATA_TEAM`);
  }
  return { servers: known.servers, teamId: known.teamId };
}

function devFile(env: Env): DevFile | undefined {
  const path = join(set(env.KATA_DATA_DIR) ?? ".kata", "dev.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  try {
    return DevFileSchema.parse(JSON.parse(text));
  } catch {
    throw new UsageError(`${path} is damaged: run "npm start" again, it writes it anew`);
  }
}

function set(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}
