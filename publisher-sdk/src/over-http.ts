import { validateHeaderValue } from "node:http";
import { isId } from "@kata/protocol/wire";
import { backoffMs } from "./backoff.ts";
import { brokerErrorOf } from "./broker-error.ts";
import { BrokerHttp, type HttpAnswer, tlsFilesOf } from "./broker-http.ts";
import { NoBrokerError, orUnavailable, PublisherError } from "./errors.ts";
import { HTTP_RECORD_BYTES, HttpUplink } from "./http-uplink.ts";
import { LateUplink } from "./late-uplink.ts";
import type { GivenSettings, PublisherOptions, Settings } from "./options.ts";
import type { Publisher } from "./publisher.ts";
import { QueuedPublisher } from "./queued-publisher.ts";
import { RecordBound } from "./record-bound.ts";
import { openSpoolAt } from "./spool.ts";
import { SteadyClock } from "./steady-clock.ts";
import type { UplinkListener } from "./uplink.ts";

/** How many channels' records are on their way at the same time, each over a connection of its own. */
const CONNECTIONS = 8;
/** A record over HTTP must be one record for the broker, too, whose bounds are these. */
const MAX_RECORD_EVENTS = 1_000;

/**
 * A publisher whose way to the log is a broker's HTTP API.
 *
 * @throws PublisherError `unavailable`, `unauthenticated`, `forbidden`; TypeError for a URL that is none
 */
export async function overHttp(url: string, options: PublisherOptions, settings: GivenSettings): Promise<Publisher> {
  const base = new URL(url);
  if (base.username !== "" || base.search !== "") throw new TypeError("a broker's URL has no credentials: give apiKey");
  if (options.tls !== undefined && base.protocol !== "https:") throw new TypeError("tls demands an https:// URL");
  checkKey(options.apiKey);
  const http = new BrokerHttp(base, options.apiKey ?? "", CONNECTIONS, await tlsFilesOf(options.tls));
  const { connectTimeoutMs } = settings;
  const { spool } = options;
  const team = () => askTeam(http, connectTimeoutMs, settings.teamId);
  try {
    // What a spool keeps can wait for a broker, if it is known whose it is.
    if (spool === undefined || settings.teamId === undefined) {
      return await publisherOf(http, await persistently(team, connectTimeoutMs), settings, spool);
    }
    const answer = await orUnavailable(team());
    const late = answer instanceof PublisherError ? { team, failure: answer } : undefined;
    return await publisherOf(http, settings.teamId, settings, spool, late);
  } catch (error) {
    http.close();
    throw error;
  }
}

/**
 * No broker would ever be asked with a key that no header can hold: that must not look like a broker that cannot be reached.
 *
 * @throws PublisherError `unauthenticated`
 */
function checkKey(apiKey = ""): void {
  try {
    validateHeaderValue("x-api-key", apiKey);
  } catch {
    const hint = apiKey.trim() === apiKey ? "" : ", a line feed of the file that it was read from perhaps";
    const why = `the API key has a character that no HTTP header can hold${hint}: it is no valid key`;
    throw new PublisherError("unauthenticated", why);
  }
}

/** @param late for a broker that cannot be reached yet: asks it whose key it is, and why that failed */
async function publisherOf(
  http: BrokerHttp,
  teamId: string,
  settings: GivenSettings,
  spool: string | undefined,
  late?: { readonly team: () => Promise<string>; readonly failure: PublisherError },
): Promise<Publisher> {
  const maxRecordEvents = Math.min(settings.maxRecordEvents, MAX_RECORD_EVENTS);
  const opened = spool === undefined ? undefined : await openSpoolAt(spool, { ...settings, teamId, via: "http" });
  const clock = new SteadyClock();
  const bound = new RecordBound(settings.maxRecordBytes);
  const complete: Settings = {
    ...settings,
    teamId,
    maxRecordEvents,
    // It is looked at for each event: what comes after a record that was too large travels in smaller ones.
    get maxRecordBytes() {
      return bound.bytes;
    },
  };
  const connect = () =>
    new HttpUplink(http, {
      connections: CONNECTIONS,
      attemptTimeoutMs: settings.ackTimeoutMs,
      now: clock.now,
      patient: opened !== undefined,
      bound,
    });
  if (late === undefined) return new QueuedPublisher(complete, clock, connect, opened);
  const { team, failure } = late;
  const options = { connect: () => team().then(connect), failure, maxRecordBytes: HTTP_RECORD_BYTES };
  const connectLater = ({ ready }: UplinkListener) =>
    new LateUplink({ ...options, ready, abandon: () => http.close() });
  return new QueuedPublisher(complete, clock, connectLater, opened);
}

/**
 * Asks the broker whose key it is.
 *
 * @param expected the team that it has to be
 * @throws PublisherError `unavailable`, which may pass; `unauthenticated`, `forbidden`
 */
async function askTeam(http: BrokerHttp, timeoutMs: number, expected: string | undefined): Promise<string> {
  const answer = await http.ask({ method: "GET", path: "/v1/publisher", timeoutMs }).catch((error: Error) => {
    if (isFirm(error)) throw new NoBrokerError(error.message);
    throw new PublisherError("unavailable", error.message, { cause: error });
  });
  if (answer.status !== 200) throw refusal(answer, http.name);
  const teamId = teamIn(answer, http.name);
  if (expected === undefined || expected === teamId) return teamId;
  throw new PublisherError("forbidden", `the API key is of team ${teamId}, not of ${expected}`);
}

function refusal(answer: HttpAnswer, name: string): PublisherError {
  const { status } = answer;
  const error = brokerErrorOf(answer);
  const problem = `the broker at ${name} answered ${status}${error === undefined ? "" : `: ${error.message}`}`;
  if (error?.code === "unauthenticated" || error?.code === "forbidden") return new PublisherError(error.code, problem);
  if (status >= 500 || status === 408 || status === 429) return new PublisherError("unavailable", problem);
  return new NoBrokerError(`${problem}: what answers there is no broker`);
}

/** Whether something answers, but not as a broker would that is to be trusted: no TLS, or another's certificate. */
function isFirm({ cause }: Error): boolean {
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && /CERT|SIGNATURE|EPROTO|^ERR_TLS|^ERR_SSL|^HPE_/.test(code);
}

/** Tries until it does not fail as something that may pass, or the time is up. */
async function persistently<T>(attempt: () => Promise<T>, timeoutMs: number): Promise<T> {
  const until = performance.now() + timeoutMs;
  for (let failures = 0; ; failures++) {
    const result = await orUnavailable(attempt());
    if (!(result instanceof PublisherError)) return result;
    const pauseMs = backoffMs(failures);
    if (result instanceof NoBrokerError || performance.now() + pauseMs >= until) throw result;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function teamIn({ body }: HttpAnswer, name: string): string {
  const teamId = (body as { teamId?: unknown } | undefined)?.teamId;
  if (isId(teamId)) return teamId;
  throw new NoBrokerError(`what answers at ${name} is no broker`);
}
