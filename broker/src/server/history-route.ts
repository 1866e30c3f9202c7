import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import type { History } from "../delivery/history.ts";
import type { StartRequest } from "../delivery/locate.ts";
import { LogUnavailableError } from "../log/event-log.ts";
import { admit } from "./admit.ts";
import { parseQuery } from "./query.ts";
import type { Refusal } from "./refusal.ts";
import { type Caller, callerOf, channelOf, queryOf } from "./request.ts";
import { answerJson, answerRefusal } from "./respond.ts";
import type { SessionDeps } from "./session.ts";

const DEFAULT_EVENTS = 100;
const MAX_EVENTS = 1_000;
/** No further record once an answer has so many bytes. */
const MAX_BYTES = 1024 * 1024;

/** `GET /v1/channels/{channel}/events?after=&limit=` [HTTP-5]. */
export function historyRoute(res: HttpResponse, req: HttpRequest, deps: SessionDeps): void {
  const channel = channelOf(req);
  const caller = callerOf(res, req, deps.config);
  const query = queryOf(req);
  const gone = new AbortController();
  res.onAborted(() => gone.abort());
  read({ channel, caller, query, gone }, deps)
    .catch((error: unknown) => {
      deps.logger.error({ err: error }, "a history request failed");
      return { code: "internal", message: "reading failed: try again" } as const;
    })
    .then((result) => {
      if (gone.signal.aborted) return;
      if ("code" in result) answerRefusal(res, result);
      else answerJson(res, 200, encode(result));
    });
}

interface Wish {
  readonly channel: string;
  readonly caller: Caller;
  readonly query: string;
  /** Aborted when the client is gone. */
  readonly gone: AbortController;
}

const AWAY: Refusal = { code: "unavailable", message: "the log cannot be read now: try again soon" };

async function read({ channel, caller, query, gone }: Wish, deps: SessionDeps): Promise<History | Refusal> {
  const admission = await admit(caller, "subscribe", channel, deps);
  if (admission.refused !== undefined) return admission.refused;
  const wish = parseQuery(query, ["after", "limit"]);
  if ("problem" in wish) return { code: "bad_request", message: wish.problem };
  const { after, limit: text = `${DEFAULT_EVENTS}` } = wish;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > MAX_EVENTS) {
    return { code: "bad_request", message: `limit is a whole number from 1 to ${MAX_EVENTS}` };
  }
  const start: StartRequest =
    after === undefined ? { kind: "rewind", rewind: "all" } : { kind: "after", eventId: after };
  if (!deps.log.connected) return AWAY;
  if (gone.signal.aborted) return AWAY;
  // A channel waits for the log for as long as it takes; a request does not.
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), deps.config.natsTimeoutMs);
  // Not AbortSignal.any: Node keeps what it makes, and all that waits for it, for as long as nothing is aborted.
  gone.signal.addEventListener("abort", () => late.abort(), { once: true });
  try {
    const { signal } = late;
    const request = { start, limit, maxBytes: MAX_BYTES, signal };
    return await Promise.race([deps.delivery.history(channel, admission.subject, request), aborted(signal)]);
  } catch (error) {
    if (error instanceof LogUnavailableError) return AWAY;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function aborted(signal: AbortSignal): Promise<Refusal> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(AWAY), { once: true });
  });
}

/** The envelopes are JSON already. */
function encode({ events, ...rest }: History): Buffer {
  const parts: Buffer[] = [Buffer.from('{"events":[')];
  const comma = Buffer.from(",");
  for (const [index, event] of events.entries()) parts.push(...(index === 0 ? [event] : [comma, event]));
  parts.push(Buffer.from(`],${JSON.stringify(rest).slice(1)}\n`));
  return Buffer.concat(parts);
}
