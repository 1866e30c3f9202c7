import { isId, MAX_EVENT_BYTES, MAX_RECORD_BYTES, STREAM } from "@kata/protocol/wire";
import type { NatsConnection, TlsOptions } from "@nats-io/transport-node";
import type { CurrentTraceparent } from "./event.ts";
import { inboxPrefixOf } from "./inbox.ts";
import type { RecordReport } from "./publish-options.ts";

export interface PublisherOptions {
  /**
   * NATS servers, `nats://host:port` or `host:port`; credentials in them (`nats://user:pass@…`) are used if there is no `apiKey`.
   */
  readonly servers?: string | readonly string[] | undefined;
  /**
   * The same for one server; or the URL of a broker, `https://host` (`http://` too), to publish through it where NATS cannot be
   * reached. That needs an `apiKey`. Exactly one of `servers`, `url` and `connection` is given.
   */
  readonly url?: string | undefined;
  /** A connection that the caller owns: `close()` leaves it open. Its own reconnect settings apply. */
  readonly connection?: NatsConnection | undefined;
  /**
   * Demands TLS, as `tls://` in a URL does: files of the authorities that NATS's certificate may come from (`caFile`), of the publisher's
   * own certificate and key (`certFile`, `keyFile`), where NATS wants one.
   */
  readonly tls?: TlsOptions | undefined;
  /** An API key with the scope `publish`: presented to NATS as its authentication token, for which a broker vouches. */
  readonly apiKey?: string | undefined;
  /**
   * The team that owns the channels: `[A-Za-z0-9_-]{1,128}`. With an `apiKey` it is the key's, and need not be given;
   * another one is refused. Without, it is required.
   */
  readonly teamId?: string | undefined;
  /**
   * The secret that turns an idempotency key into a message id nobody else can guess. With an `apiKey` it is the team's, which
   * a broker tells. Without, a key is only hashed.
   */
  readonly idempotencySecret?: string | Uint8Array | undefined;
  /** The name of the stream, default `KATA`; with an `apiKey`, what a broker says. */
  readonly stream?: string | undefined;
  /** How long a server may take to accept the first connection, milliseconds; default 5,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** How long an acknowledgement may take before it is asked what became of it, milliseconds; default 5,000. */
  readonly ackTimeoutMs?: number | undefined;
  /** How long an event is tried, milliseconds; then it is rejected as `unavailable`, up to a second later. Default 60,000; Infinity never gives up. */
  readonly publishTimeoutMs?: number | undefined;
  /** How long `close()` waits for what is left, milliseconds; default 10,000. */
  readonly closeTimeoutMs?: number | undefined;
  /** Upper bound of a record that holds more than one event, in bytes; default 256 KiB, at most 512 KiB. */
  readonly maxRecordBytes?: number | undefined;
  /** Upper bound of the events in a record; default 1,000. */
  readonly maxRecordEvents?: number | undefined;
  /** Upper bound of one event's line in bytes; default and at most 512 KiB ([EVENT-5]). */
  readonly maxEventBytes?: number | undefined;
  /**
   * Upper bound of what is accepted and not yet settled, in bytes, with 256 for each event's bookkeeping (1,024 where a signal can take it back
   * by itself) and 768 for each record's; default 64 MiB. What is larger by itself is taken while nothing else waits.
   */
  readonly maxQueueBytes?: number | undefined;
  /**
   * A directory of this publisher's own, which is made if it is not there. What is accepted is kept in it until it is settled, so it
   * survives a crash of this process and its host: the next publisher with the same spool sends it first, in order, each event once.
   * Needs the package `classic-level`. Then `publishTimeoutMs` is Infinity unless given, and `close()` leaves there what it could not
   * send (`spooled`).
   * Over HTTP, with a `teamId`, the publisher starts while no broker can be reached, too, and tries on.
   */
  readonly spool?: string | undefined;
  /** Told of each record that is settled: for metrics. {@link Publisher.stats} has the totals. */
  readonly onRecord?: ((report: RecordReport) => void) | undefined;
  /**
   * Says in which W3C trace context the caller of `publish` is: asked for each event that has no `traceparent` of its own. For
   * example from OpenTelemetry's active span.
   */
  readonly traceparent?: CurrentTraceparent | undefined;
  /**
   * Waits for what is left when the process is told to end (SIGINT, SIGTERM, SIGHUP; `closeTimeoutMs` at most), and then lets it end by
   * that signal. Default false: signals are the application's. `process.exit()` cannot be waited at.
   */
  readonly drainOnExit?: boolean | undefined;
}

/** All that a publisher goes by. */
export interface Settings {
  readonly teamId: string;
  readonly stream: string;
  readonly idempotencySecret: string | Uint8Array | undefined;
  /** Of the inbox that acknowledgements come to; `undefined`: the client library's own. */
  readonly inboxPrefix: string | undefined;
  readonly connectTimeoutMs: number;
  readonly ackTimeoutMs: number;
  readonly publishTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly maxRecordBytes: number;
  readonly maxRecordEvents: number;
  readonly maxEventBytes: number;
  readonly maxQueueBytes: number;
  readonly drainOnExit: boolean;
  readonly traceparent: CurrentTraceparent | undefined;
  readonly onRecord: ((report: RecordReport) => void) | undefined;
}

/** The options with every default filled in; whose team it is may have to be asked yet. */
export type GivenSettings = Omit<Settings, "teamId"> & { readonly teamId: string | undefined };

/** What a timer can wait for; beyond it Node fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** @throws TypeError for options that no publisher can have. */
export function settingsOf(options: PublisherOptions): GivenSettings {
  checkWay(options);
  const { apiKey, teamId } = options;
  if (apiKey !== undefined && (typeof apiKey !== "string" || apiKey === "")) {
    throw new TypeError("apiKey must be a string that is not empty");
  }
  if (apiKey !== undefined && options.connection !== undefined) {
    throw new TypeError("apiKey goes with servers or url: a connection has its own credentials");
  }
  if (teamId === undefined && apiKey === undefined) {
    throw new TypeError("give an apiKey; or the teamId, where NATS lets the publisher in without one");
  }
  if (teamId !== undefined && !isId(teamId)) throw new TypeError("teamId must match [A-Za-z0-9_-]{1,128}");
  const { spool } = options;
  if (spool !== undefined && (typeof spool !== "string" || spool === ""))
    throw new TypeError("spool must be a directory");
  const stream = options.stream ?? STREAM;
  if (!isId(stream)) throw new TypeError("stream must match [A-Za-z0-9_-]{1,128}");
  if (isHttp(options.url)) {
    if (apiKey === undefined) throw new TypeError("a broker's URL needs an apiKey");
    if (options.stream !== undefined || options.idempotencySecret !== undefined) {
      throw new TypeError("stream and idempotencySecret go with NATS: a broker has its own");
    }
  }
  const secret: unknown = options.idempotencySecret;
  if (secret !== undefined && typeof secret !== "string" && !(secret instanceof Uint8Array)) {
    throw new TypeError("idempotencySecret must be a string or a Uint8Array");
  }
  return {
    teamId,
    stream,
    idempotencySecret: options.idempotencySecret,
    inboxPrefix: apiKey === undefined ? undefined : inboxPrefixOf(apiKey),
    connectTimeoutMs: bounded("connectTimeoutMs", options.connectTimeoutMs, 5_000, 1, MAX_TIMER_MS),
    ackTimeoutMs: bounded("ackTimeoutMs", options.ackTimeoutMs, 5_000, 1, MAX_TIMER_MS),
    publishTimeoutMs: bounded("publishTimeoutMs", options.publishTimeoutMs, spool === undefined ? 60_000 : Infinity, 1),
    closeTimeoutMs: bounded("closeTimeoutMs", options.closeTimeoutMs, 10_000, 0, MAX_TIMER_MS),
    maxRecordBytes: bounded("maxRecordBytes", options.maxRecordBytes, 256 * 1024, 1, MAX_RECORD_BYTES),
    maxRecordEvents: bounded("maxRecordEvents", options.maxRecordEvents, 1_000, 1, 1_000_000),
    maxEventBytes: bounded("maxEventBytes", options.maxEventBytes, MAX_EVENT_BYTES, 1, MAX_EVENT_BYTES),
    maxQueueBytes: bounded("maxQueueBytes", options.maxQueueBytes, 64 * 1024 * 1024, 1),
    onRecord: options.onRecord,
    traceparent: options.traceparent,
    drainOnExit: options.drainOnExit === true,
  };
}

/** Nothing given by mistake, such as a list from a variable that is empty, may become the client library's default: a NATS on this machine. */
function checkWay({ servers, url, connection }: PublisherOptions): void {
  const given = [servers, url, connection].filter((way) => way !== undefined);
  if (given.length !== 1) throw new TypeError("give exactly one of servers, url and connection");
  const isAddress = (each: unknown) => typeof each === "string" && each.trim() !== "";
  if (
    servers !== undefined &&
    !(Array.isArray(servers) ? servers.length > 0 && servers.every(isAddress) : isAddress(servers))
  ) {
    throw new TypeError("servers must be host:port, or a list of at least one");
  }
  if (url !== undefined && !isAddress(url)) throw new TypeError("url must be a string that is not empty");
  if (connection === null || typeof (connection ?? {}) !== "object")
    throw new TypeError("connection must be a connection to NATS");
}

/** Whether it is the URL of a broker. */
export function isHttp(url: string | undefined): url is string {
  return typeof url === "string" && /^https?:\/\//i.test(url);
}

function bounded(name: string, value: number | undefined, standard: number, min: number, max = Infinity): number {
  if (value === undefined) return standard;
  if (typeof value !== "number" || !(value >= min && value <= max)) {
    throw new TypeError(`${name} must be a number ${max === Infinity ? `from ${min}` : `from ${min} to ${max}`}`);
  }
  return value;
}
