import { isId } from "@kata/protocol/wire";
import { backoffMs } from "./backoff.ts";
import { BrokerHttp, type HttpAnswer, tlsFilesOf } from "./broker-http.ts";
import { PublisherError } from "./errors.ts";
import { HttpUplink } from "./http-uplink.ts";
import type { GivenSettings, PublisherOptions } from "./options.ts";
import type { Publisher } from "./publisher.ts";
import { QueuedPublisher } from "./queued-publisher.ts";
import { openSpoolAt } from "./spool.ts";
import { SteadyClock } from "./steady-clock.ts";

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
  const http = new BrokerHttp(base, options.apiKey ?? "", CONNECTIONS, await tlsFilesOf(options.tls));
  try {
    const teamId = await askTeam(http, settings.connectTimeoutMs);
    if (settings.teamId !== undefined && settings.teamId !== teamId) {
      throw new PublisherError("forbidden", `the API key is of team ${teamId}, not of ${settings.teamId}`);
    }
    const maxRecordEvents = Math.min(settings.maxRecordEvents, MAX_RECORD_EVENTS);
    const complete = { ...settings, teamId, maxRecordEvents };
    const opened =
      options.spool === undefined ? undefined : await openSpoolAt(options.spool, { ...complete, via: "http" });
    const clock = new SteadyClock();
    const connect = () => new HttpUplink(http, CONNECTIONS, settings.ackTimeoutMs, clock.now, opened !== undefined);
    return new QueuedPublisher(complete, clock, connect, opened);
  } catch (error) {
    http.close();
    throw error;
  }
}

/** Asks the broker whose key it is, until it answers. */
async function askTeam(http: BrokerHttp, timeoutMs: number): Promise<string> {
  const until = performance.now() + timeoutMs;
  for (let failures = 0; ; failures++) {
    let problem: string;
    try {
      const answer = await http.ask({ method: "GET", path: "/v1/publisher", timeoutMs });
      if (answer.status === 200) return teamIn(answer, http.name);
      const said = (answer.body as { error?: { message?: unknown } } | undefined)?.error?.message;
      problem = `the broker at ${http.name} answered ${answer.status}${typeof said === "string" ? `: ${said}` : ""}`;
      if (answer.status === 401) throw new PublisherError("unauthenticated", problem);
      if (answer.status === 403) throw new PublisherError("forbidden", problem);
      if (answer.status < 500 && answer.status !== 429) {
        throw new PublisherError("unavailable", `${problem}: what answers there is no broker`);
      }
    } catch (error) {
      if (error instanceof PublisherError) throw error;
      problem = error instanceof Error ? error.message : String(error);
    }
    const pauseMs = backoffMs(failures);
    if (performance.now() + pauseMs >= until) throw new PublisherError("unavailable", problem);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function teamIn({ body }: HttpAnswer, name: string): string {
  const teamId = (body as { teamId?: unknown } | undefined)?.teamId;
  if (isId(teamId)) return teamId;
  throw new PublisherError("unavailable", `what answers at ${name} is no broker`);
}
