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

export interface PublisherSettings {
  readonly servers: string;
  readonly apiKey?: string;
  readonly teamId?: string;
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

/**
 * Where to publish, and as whom: with an API key, whose team is known then, or as the user that the URL names.
 *
 * @throws UsageError if nothing says so
 */
export function publisherSettings(given: CommandLine, env: Env): PublisherSettings {
  const servers = first(given.nats, env.NATS_URL);
  const teamId = first(given.team, env.KATA_TEAM);
  // Of a URL with a user, the environment's key is somebody else's.
  const asUser = servers?.includes("@") === true && given.apiKey === undefined;
  const apiKey = asUser ? undefined : first(given.apiKey, env.KATA_API_KEY);
  if (servers !== undefined && apiKey !== undefined) return { servers, apiKey, ...(teamId && { teamId }) };
  if (servers !== undefined && teamId !== undefined) return { servers, teamId };
  const dev = devFile(env);
  if (dev === undefined) {
    throw new UsageError(
      asUser
        ? "no team is known: NATS_URL names a user, so set KATA_TEAM or give --team"
        : `no NATS is known: run "npm start" here, or set NATS_URL and KATA_API_KEY`,
    );
  }
  if (apiKey !== undefined) return { servers: dev.natsUrl, apiKey, ...(teamId && { teamId }) };
  const where = { servers: servers ?? dev.natsUrl, teamId: teamId ?? dev.teamId };
  // The key in the file is for the NATS in the file; where no broker vouches for keys, that URL says as whom.
  return servers !== undefined || dev.natsUrl.includes("@") ? where : { ...where, apiKey: dev.apiKey };
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
