import {
  AuthorizationError,
  type ConnectionOptions,
  connect,
  type NatsConnection,
  type TlsOptions,
} from "@nats-io/transport-node";
import { backoffMs } from "./backoff.ts";
import { PublisherError } from "./errors.ts";

export interface ConnectTo {
  readonly servers: string | readonly string[];
  readonly apiKey: string | undefined;
  readonly inboxPrefix: string | undefined;
  readonly tls?: TlsOptions | undefined;
  readonly timeoutMs: number;
}

type Auth = { auth_token: string } | { user: string; pass: string } | undefined;

/**
 * A broker refuses at once. NATS refuses by itself, in the same words, if no broker has answered for three seconds
 * (nats.conf): what came so late was no broker's word, milliseconds.
 */
const LATE_MS = 2_500;

/**
 * Connects to NATS and stays connected: it reconnects for ever, the first time at once.
 *
 * @throws PublisherError `unavailable`, `unauthenticated`
 */
export async function connectTo({ servers, apiKey, inboxPrefix, tls, timeoutMs }: ConnectTo): Promise<NatsConnection> {
  const urls = typeof servers === "string" ? servers.split(",") : [...servers];
  const targets = urls.map(targetOf);
  const names = targets.map((target) => target.server).join(", ");
  const auth: Auth =
    apiKey === undefined ? targets.find((target) => target.auth !== undefined)?.auth : { auth_token: apiKey };
  // The client library does not look at the scheme; that this is set makes it insist, before it presents anything.
  const secure = tls ?? (targets.some((target) => target.server.startsWith("tls:")) ? {} : undefined);
  let attempts = 0;
  const options: ConnectionOptions = {
    servers: targets.map((target) => target.server),
    authenticator: () => auth,
    ...(inboxPrefix === undefined ? {} : { inboxPrefix }),
    ...(secure === undefined ? {} : { tls: secure }),
    name: "kata-publisher",
    timeout: timeoutMs,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => backoffMs(attempts),
    // While no broker is there, NATS refuses everybody: that must pass too.
    ignoreAuthErrorAbort: true,
    // A server that is gone without a word is noticed after 15 s.
    pingInterval: 5_000,
    maxPingOut: 2,
    noAsyncTraces: true,
  };
  const startedAt = performance.now();
  const nc = await connect(options).catch((error: unknown) => {
    throw refusal(error, names, apiKey !== undefined && performance.now() - startedAt >= LATE_MS);
  });
  void (async () => {
    for await (const status of nc.status()) {
      if (status.type === "reconnecting") attempts++;
      else if (status.type === "reconnect") attempts = 0;
    }
  })();
  return nc;
}

/** A server without the credentials that its URL may hold: they must not get into messages. */
function targetOf(text: string): { server: string; auth: Auth } {
  const match = /^(?:([a-z]+):\/\/)?(?:([^@/]*)@)?([^@/?#\s]+)\/?$/i.exec(text.trim());
  if (match?.[3] === undefined) throw new TypeError("a NATS server is given as nats://host:port or host:port");
  const server = match[1] === undefined ? match[3] : `${match[1]}://${match[3]}`;
  if (match[2] === undefined) return { server, auth: undefined };
  const [user, ...pass] = match[2].split(":").map(decodeURIComponent);
  return { server, auth: pass.length === 0 ? { auth_token: user ?? "" } : { user: user ?? "", pass: pass.join(":") } };
}

function refusal(error: unknown, names: string, late: boolean): PublisherError {
  if (error instanceof AuthorizationError) {
    if (late) {
      const why = `no broker has answered NATS at ${names} whether the API key is valid: is one running?`;
      return new PublisherError("unavailable", why, { cause: error });
    }
    return new PublisherError("unauthenticated", `NATS at ${names} refused the credentials`, { cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new PublisherError("unavailable", `cannot connect to NATS at ${names}: ${reason}`, { cause: error });
}
