import { isId } from "@kata/protocol/wire";
import { FROM_ENV } from "./from-env.ts";
import type { OperatorNats } from "./operator.ts";
import { type CommandLine, readerSettings } from "./settings.ts";
import { UsageError } from "./usage-error.ts";

/** Through a broker, for the team of the key; or in NATS itself, for any team. */
export type AdminTarget =
  | { readonly url: string; readonly apiKey: string; readonly nats?: undefined }
  | { readonly nats: OperatorNats; readonly teamId: string };

type Env = Readonly<Record<string, string | undefined>>;

/**
 * With `--nats` the command works on NATS itself, as whoever runs the brokers; nothing else leads there, so that nobody
 * does it unawares; where it stands alone, `NATS_URL` says which. What would be ignored is refused: a key that was made for another team than was meant is no trifle.
 *
 * @throws UsageError if nothing says where, or what says so cannot be used
 */
export function adminSettings(given: CommandLine, env: Env): AdminTarget {
  if (given.nats === undefined) {
    if (given.team !== undefined) {
      throw new UsageError("--team goes with --nats: through a broker it is the team of the API key");
    }
    return readerSettings(given, env);
  }
  if (given.url !== undefined || given.apiKey !== undefined) {
    throw new UsageError("--nats works on NATS itself: leave --url and --api-key away, or --nats");
  }
  const teamId = given.team;
  if (!isId(teamId))
    throw new UsageError("with --nats give --team, too: whose it is ([A-Za-z0-9_-], 1 to 128 characters)");
  const nats = given.nats === FROM_ENV ? env.NATS_URL || undefined : given.nats;
  if (nats === undefined) throw new UsageError("--nats without a URL takes that of NATS_URL: set it, or give one");
  const servers = nats.split(",").map(serverOf).join(",");
  return { nats: { servers, tls: tlsOf(env), replicas: replicasOf(env) }, teamId };
}

/** The URL in one form, in which its login can be told from the rest whatever the password is. */
function serverOf(text: string): string {
  const trimmed = text.trim();
  try {
    const { protocol, host, username, password } = new URL(trimmed.includes("://") ? trimmed : `nats://${trimmed}`);
    // A percent sign that escapes nothing is an error of its own.
    decodeURIComponent(username + password);
    if (/^(nats|tls|ws|wss):$/.test(protocol) && host !== "") {
      const login = username === "" ? "" : `${username}:${password}@`;
      return `${protocol}//${login}${host}`;
    }
  } catch {
    // It may hold a password: it is not shown.
  }
  throw new UsageError(
    "--nats takes nats://host:port, or nats://user:password@host:port (percent-encoded), several with commas between",
  );
}

/** As a broker's own. */
function tlsOf(env: Env): OperatorNats["tls"] {
  const caFile = env.KATA_NATS_CA_FILE || undefined;
  const certFile = env.KATA_NATS_CERT_FILE || undefined;
  const keyFile = env.KATA_NATS_KEY_FILE || undefined;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new UsageError("KATA_NATS_CERT_FILE and KATA_NATS_KEY_FILE belong together: set both, or neither");
  }
  return caFile === undefined && certFile === undefined ? undefined : { caFile, certFile, keyFile };
}

/** A bucket that this command is the first to open has as many copies as the brokers would give it. */
function replicasOf(env: Env): number | undefined {
  const text = env.KATA_STREAM_REPLICAS || undefined;
  if (text === undefined) return undefined;
  if (!/^[1-5]$/.test(text)) throw new UsageError("KATA_STREAM_REPLICAS is a number from 1 to 5: set it right");
  return Number(text);
}
