import { AuthorizationError, type ConnectionOptions, connect, type NatsConnection } from "@nats-io/transport-node";
import { backoffMs } from "./backoff.ts";
import { PublisherError } from "./errors.ts";

export interface ConnectTo {
  readonly servers: string | readonly string[];
  readonly apiKey: string | undefined;
  readonly timeoutMs: number;
}

type Auth = { auth_token: string } | { user: string; pass: string } | undefined;

/**
 * Connects to NATS and stays connected: it reconnects for ever, the first time at once.
 *
 * A server with `no_auth_user` refuses a token that it does not know, though it lets in who presents nothing (tried with
 * nats-server 2.15). So a refused API key is followed by one attempt without it: that succeeds only where NATS lets
 * anybody in, key or no key. If NATS refuses that later on (it has been given users), the key is presented again.
 *
 * @throws PublisherError `unavailable`, `unauthenticated`
 */
export async function connectTo({ servers, apiKey, timeoutMs }: ConnectTo): Promise<NatsConnection> {
  const urls = typeof servers === "string" ? servers.split(",") : [...servers];
  const targets = urls.map(targetOf);
  const names = targets.map((target) => target.server).join(", ");
  const auth: Auth =
    apiKey === undefined ? targets.find((target) => target.auth !== undefined)?.auth : { auth_token: apiKey };
  let anonymous = false;
  let attempts = 0;
  const options: ConnectionOptions = {
    servers: targets.map((target) => target.server),
    authenticator: () => (anonymous ? undefined : auth),
    name: "kata-publisher",
    timeout: timeoutMs,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => backoffMs(attempts),
    // While an authentication service restarts, NATS refuses everybody: that must pass too.
    ignoreAuthErrorAbort: true,
    // A server that is gone without a word is noticed after 15 s.
    pingInterval: 5_000,
    maxPingOut: 2,
    noAsyncTraces: true,
  };
  const nc = await connect(options).catch(async (error: unknown) => {
    if (!(error instanceof AuthorizationError) || apiKey === undefined) throw refusal(error, names);
    anonymous = true;
    return await connect(options).catch(() => Promise.reject(refusal(error, names)));
  });
  void (async () => {
    for await (const status of nc.status()) {
      if (status.type === "reconnecting") attempts++;
      else if (status.type === "reconnect") attempts = 0;
      else if (status.type === "error" && status.error instanceof AuthorizationError) anonymous = false;
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

function refusal(error: unknown, names: string): PublisherError {
  if (error instanceof AuthorizationError) {
    return new PublisherError("unauthenticated", `NATS at ${names} refused the credentials`, { cause: error });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new PublisherError("unavailable", `cannot connect to NATS at ${names}: ${reason}`, { cause: error });
}
