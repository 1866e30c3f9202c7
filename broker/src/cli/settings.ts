import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "./usage-error.ts";

const FIELDS = ["httpUrl", "wsUrl", "natsUrl", "teamId", "apiKey"] as const;

/** What `npm start` leaves behind for tools beside it. */
type DevFile = Readonly<Record<(typeof FIELDS)[number], string>>;

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
  const url = first(given.url, env.KATA_URL);
  const apiKey = first(given.apiKey, env.KATA_API_KEY);
  if (url !== undefined && apiKey !== undefined) return { url, apiKey };
  const dev = devFile(env);
  if (dev === undefined) {
    throw new UsageError(`no broker is known: run "npm start" here, or set KATA_URL and KATA_API_KEY`);
  }
  return { url: url ?? dev.wsUrl, apiKey: apiKey ?? dev.apiKey };
}

/** Where to publish, for which team, and as whom. @throws UsageError if nothing says so */
export function publisherSettings(given: CommandLine, env: Env): { servers: string; teamId: string; apiKey?: string } {
  const servers = first(given.nats, env.NATS_URL);
  const teamId = first(given.team, env.KATA_TEAM);
  const apiKey = first(given.apiKey, env.KATA_API_KEY);
  const key = (value: string | undefined) => (value === undefined ? {} : { apiKey: value });
  if (servers !== undefined && teamId !== undefined) return { servers, teamId, ...key(apiKey) };
  const dev = devFile(env);
  if (dev === undefined) throw new UsageError(`no NATS is known: run "npm start" here, or set NATS_URL and KATA_TEAM`);
  return {
    servers: servers ?? dev.natsUrl,
    teamId: teamId ?? dev.teamId,
    // The key in the file is the broker's alone: the NATS of `npm start` asks for none, and would log a refusal.
    ...key(apiKey),
  };
}

function devFile(env: Env): DevFile | undefined {
  const path = join(first(env.KATA_DATA_DIR) ?? ".kata", "dev.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new UsageError(`${path} cannot be read: ${message}`);
  }
  const file = parse(text);
  if (!isDevFile(file)) throw new UsageError(`${path} is damaged: run "npm start" again, it writes it anew`);
  return file;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isDevFile(value: unknown): value is DevFile {
  if (typeof value !== "object" || value === null) return false;
  return FIELDS.every((field) => typeof (value as Partial<Record<string, unknown>>)[field] === "string");
}

/** The first that is given; an empty variable is none. */
function first(...values: (string | undefined)[]): string | undefined {
  return values.find((value) => value !== undefined && value !== "");
}
