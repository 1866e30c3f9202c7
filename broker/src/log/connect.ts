import { connect, type NatsConnection } from "@nats-io/transport-node";
import { type EventLog, LogUnavailableError } from "./event-log.ts";
import { createJetStreamLog } from "./jetstream-log.ts";
import { ensureStream, type StreamLimits } from "./stream.ts";

export type { NatsConnection } from "@nats-io/transport-node";

/** PEM files, read anew at each connect. */
export interface NatsTls {
  /** Of the authorities that NATS's certificate may come from. Default: those that Node.js knows. */
  readonly caFile?: string | undefined;
  /** The broker's own certificate and its key, where NATS wants one. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export interface LogOptions {
  /** NATS URLs, with commas between. */
  readonly servers: string;
  /** Demands TLS, as does `tls://`: NATS without it is refused, as is one whose certificate cannot be verified. */
  readonly tls?: NatsTls | undefined;
  /** How long NATS may take to answer, milliseconds. */
  readonly timeoutMs: number;
  readonly limits: StreamLimits;
}

export interface ConnectedLog {
  readonly nc: NatsConnection;
  readonly log: EventLog;
  close(): Promise<void>;
}

/**
 * Connects to NATS and opens the log, creating the stream if need be.
 *
 * @throws Error with `code` `NATS_UNREACHABLE` or `NATS_UNUSABLE`; the message is one line that says what to do
 */
export async function connectLog(options: LogOptions): Promise<ConnectedLog> {
  const nc = await connectNats(options);
  try {
    await ensureStream(nc, options.limits);
    const log = await createJetStreamLog(nc, options);
    return {
      nc,
      log,
      async close() {
        await log.close();
        await nc.close();
      },
    };
  } catch (error) {
    await nc.close();
    const why = error instanceof LogUnavailableError ? error.message : reasonOf(error);
    throw failure(
      "NATS_UNUSABLE",
      `NATS at ${withoutSecrets(options.servers)} cannot hold the log (${why}): it needs nats-server 2.11 or later with JetStream`,
      error,
    );
  }
}

/** @throws Error with `code` `NATS_UNREACHABLE`; the message is one line that says what to do */
export async function connectNats({
  servers,
  tls,
  timeoutMs,
}: Pick<LogOptions, "servers" | "tls" | "timeoutMs">): Promise<NatsConnection> {
  const targets = servers.split(",").map(targetOf);
  const login = targets.find((target) => target.user !== "");
  // The client library does not look at the scheme; that this is set makes it insist.
  const secure = tls ?? (targets.some((target) => target.server.startsWith("tls:")) ? {} : undefined);
  try {
    return await connect({
      servers: targets.map((target) => target.server),
      // The client library drops what stands before the @ of a URL.
      ...(login === undefined ? {} : { user: login.user, pass: login.pass }),
      ...(secure === undefined ? {} : { tls: defined(secure) }),
      name: "kata-broker",
      timeout: timeoutMs,
      maxReconnectAttempts: -1,
      // While an authentication service restarts, NATS refuses everybody: that must pass too.
      ignoreAuthErrorAbort: true,
      reconnectTimeWait: 250,
      reconnectJitter: 250,
      pingInterval: 10_000,
      maxPingOut: 2,
    });
  } catch (error) {
    throw failure(
      "NATS_UNREACHABLE",
      `cannot reach NATS at ${withoutSecrets(servers)} (${reasonOf(error)}): start it, or set NATS_URL${secure === undefined ? "" : " and KATA_NATS_CA_FILE"}`,
      error,
    );
  }
}

function targetOf(text: string): { server: string; user: string; pass: string } {
  const trimmed = text.trim();
  const url = new URL(trimmed.includes("://") ? trimmed : `nats://${trimmed}`);
  return {
    server: `${url.protocol}//${url.host}`,
    user: decodeURIComponent(url.username),
    pass: decodeURIComponent(url.password),
  };
}

/** Without what is `undefined`, which is a value to the client library. */
function defined({ caFile, certFile, keyFile }: NatsTls): { caFile?: string; certFile?: string; keyFile?: string } {
  return {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
}

function failure(code: string, message: string, cause: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code });
}

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0] ?? "unknown";
}

/** NATS URLs can carry a user and a password. */
function withoutSecrets(urls: string): string {
  return urls.replaceAll(/\/\/[^@/,]*@/g, "//");
}
