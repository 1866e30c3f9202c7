import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import type { StartWish } from "../delivery/locate.ts";
import { admit } from "./admit.ts";
import { lookAgain } from "./authenticate.ts";
import type { Connection } from "./connection.ts";
import type { FanOut } from "./fan-out.ts";
import { parseQuery } from "./query.ts";
import { callerOf, channelOf, queryOf } from "./request.ts";
import { answerError, answerRefusal, writeCarried } from "./respond.ts";
import { parseRewind } from "./rewind-query.ts";
import type { SessionDeps } from "./session.ts";
import { Stream } from "./stream.ts";

/** `GET /v1/channels/{channel}/stream` [STREAM-1]. */
export function streamRoute(
  res: HttpResponse,
  req: HttpRequest,
  deps: SessionDeps & { readonly fanOut: FanOut },
  connections: Set<Connection>,
): void {
  const channel = channelOf(req);
  const caller = callerOf(res, req, deps.config);
  const lastEventId = req.getHeader("last-event-id");
  const query = queryOf(req);
  let aborted = false;
  let stream: Stream | undefined;
  res.onAborted(() => {
    aborted = true;
    stream?.closed();
  });
  const open = async (): Promise<void> => {
    const crowd = deps.limits.arrive(caller.address);
    if (crowd !== undefined) return answerRefusal(res, crowd);
    const since = performance.now();
    const admission = await admit(caller, "subscribe", channel, deps);
    if (aborted) return;
    if (admission.refused !== undefined) return answerRefusal(res, admission.refused);
    // Word of what was taken back can have come between that answer and now.
    const { principal, refused } = lookAgain(admission, deps);
    if (refused !== undefined) return answerRefusal(res, refused);
    const start = startOf(lastEventId, query);
    if (typeof start === "string") return answerError(res, "bad_request", start);
    const { fanOut, limits } = deps;
    const { subject } = admission;
    const place = limits.enter(caller.address, principal);
    if ("code" in place) return answerRefusal(res, place);
    res.cork(() => {
      res.writeStatus("200 OK");
      res.writeHeader("content-type", "text/event-stream");
      res.writeHeader("cache-control", "no-store");
      // Proxies that collect an answer before they pass it on (nginx) must not.
      res.writeHeader("x-accel-buffering", "no");
      writeCarried(res);
    });
    const opened = new Stream(res, {
      channel,
      subject,
      principal,
      start,
      fanOut,
      deps,
      onEnd: () => {
        connections.delete(opened);
        place.leave();
      },
    });
    stream = opened;
    connections.add(opened);
    // There was no connection yet to be told.
    if (deps.ownerChangedSince(channel, since)) opened.ownerChanged(channel);
  };
  open().catch((error: unknown) => {
    deps.logger.error({ err: error }, "a stream could not be opened");
    if (!aborted && stream === undefined) answerError(res, "internal", "the stream could not be opened: try again");
  });
}

/** Where to start, or what is wrong with the wish. */
function startOf(header: string, query: string): StartWish | string {
  const wish = parseQuery(query, ["lastEventId", "rewind"]);
  if ("problem" in wish) return wish.problem;
  // A client that comes back sends the header with the URL that it came with the first time: the header is later.
  const lastEventId = header === "" ? wish.lastEventId : header;
  const rewind = wish.rewind === undefined ? undefined : parseRewind(wish.rewind);
  if (wish.rewind !== undefined && rewind === undefined) {
    return "rewind is all, a number of events (20, at most 100000), or of seconds (60s, at most 366 days)";
  }
  if (lastEventId !== undefined) return { kind: "after", eventId: lastEventId };
  return rewind === undefined ? { kind: "now" } : { kind: "rewind", rewind };
}
