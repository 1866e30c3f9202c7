import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import type { Credentials } from "../auth/resolve-principal.ts";
import type { History } from "../delivery/history.ts";
import type { StartRequest } from "../delivery/locate.ts";
import { LogUnavailableError } from "../log/event-log.ts";
import { admit } from "./admit.ts";
import { channelOf, credentialsOf, queryOf } from "./request.ts";
import { answerError, answerJson } from "./respond.ts";
import type { SessionDeps } from "./session.ts";

const DEFAULT_EVENTS = 100;
const MAX_EVENTS = 1_000;
/** No further record once an answer has so many bytes. */
const MAX_BYTES = 1024 * 1024;

/** `GET /v1/channels/{channel}/events?after=&limit=` [HTTP-5]. */
export function historyRoute(res: HttpResponse, req: HttpRequest, deps: SessionDeps): void {
  const channel = channelOf(req);
  const credentials = credentialsOf(req);
  const after = queryOf(req, "after");
  const limit = queryOf(req, "limit");
  let aborted = false;
  res.onAborted(() => {
    aborted = true;
  });
  read({ channel, credentials, after, limit }, deps)
    .catch((error: unknown) => {
      deps.logger.error({ err: error }, "a history request failed");
      return { code: "internal", message: "reading failed: try again" } as const;
    })
    .then((result) => {
      if (aborted) return;
      if ("code" in result) answerError(res, result.code, result.message);
      else answerJson(res, 200, encode(result));
    });
}

type Wish = { channel: string; credentials: Credentials; after: string | undefined; limit: string | undefined };
type Failure = Parameters<typeof answerError>[1];

async function read(wish: Wish, deps: SessionDeps): Promise<History | { code: Failure; message: string }> {
  const admission = await admit(wish.credentials, "subscribe", wish.channel, deps);
  if (admission.refused !== undefined) return admission.refused;
  const limit = wish.limit === undefined ? DEFAULT_EVENTS : /^\d{1,4}$/.test(wish.limit) ? Number(wish.limit) : 0;
  if (limit < 1 || limit > MAX_EVENTS) {
    return { code: "bad_request", message: `limit is a whole number from 1 to ${MAX_EVENTS}` };
  }
  const start: StartRequest =
    wish.after === undefined ? { kind: "rewind", rewind: "all" } : { kind: "after", eventId: wish.after };
  const away = { code: "unavailable", message: "the log cannot be read now: try again soon" } as const;
  if (!deps.log.connected) return away;
  try {
    const request = { start, limit, maxBytes: MAX_BYTES };
    return await within(
      deps.config.natsTimeoutMs,
      deps.delivery.history(wish.channel, admission.subject, request),
      away,
    );
  } catch (error) {
    if (error instanceof LogUnavailableError) return away;
    throw error;
  }
}

/** A channel waits for the log for as long as it takes; a request does not. */
function within<T, L>(ms: number, work: Promise<T>, late: L): Promise<T | L> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<L>((resolve) => {
    timer = setTimeout(() => resolve(late), ms);
  });
  return Promise.race([work, timeout]).finally(() => clearTimeout(timer));
}

/** The envelopes are JSON already. */
function encode({ events, ...rest }: History): Buffer {
  const parts: Buffer[] = [Buffer.from('{"events":[')];
  const comma = Buffer.from(",");
  for (const [index, event] of events.entries()) parts.push(...(index === 0 ? [event] : [comma, event]));
  parts.push(Buffer.from(`],${JSON.stringify(rest).slice(1)}\n`));
  return Buffer.concat(parts);
}
