import type { HttpResponse } from "uWebSockets.js";
import { ERRORS } from "@kata/protocol/wire";
import { admit } from "./admit.ts";
import { lookAgain } from "./authenticate.ts";
import { BodyStream } from "./body-stream.ts";
import type { Connection } from "./connection.ts";
import { failureOf, type PublishDeps } from "./publish-port.ts";
import type { PublishRequest } from "./publish-request.ts";
import { PublishStream, STREAM_BYTES } from "./publish-stream.ts";
import type { Refusal } from "./refusal.ts";
import { answer, answerLast, answerRefusal, retryAfter } from "./respond.ts";

/** Takes a stream of events, one a line, and stores them as they come [HTTP-8]. */
export function publishNdjson(
  res: HttpResponse,
  request: PublishRequest,
  deps: PublishDeps,
  connections: Set<Connection>,
): void {
  // However long it is, it holds only so much.
  const room = deps.limits.reserve(roomOf(request));
  if ("code" in room) {
    answerLast(res);
    return answerRefusal(res, room);
  }
  const body = new BodyStream(res, request.length);
  publish(res, body, request, deps, connections)
    .catch((error: unknown): Refusal => {
      deps.logger.error({ err: error }, "a publish request failed");
      return { code: "internal", message: "publishing failed: try again" };
    })
    .then(async (outcome) => {
      room.leave();
      const stream = "run" in outcome ? outcome : undefined;
      // Who reads lines is told at once, and ends the body; others read an answer when they have sent all.
      if (stream?.lines?.begun === true && !body.aborted) await stream.lines.write(lastLine(stream));
      if (stream?.dismissed === true) body.leave();
      else await body.drop();
      if (body.aborted) return;
      if (stream?.lines?.begun === true) return stream.lines.end();
      if (!body.whole) answerLast(res);
      if (stream !== undefined) answerSummary(res, stream);
      else if ("code" in outcome) answerRefusal(res, outcome);
    });
}

async function publish(
  res: HttpResponse,
  body: BodyStream,
  request: PublishRequest,
  deps: PublishDeps,
  connections: Set<Connection>,
): Promise<PublishStream | Refusal> {
  const { caller, channel, key, problem, wantsLines } = request;
  const { limits } = deps;
  const admission = await admit(caller, "publish", channel, deps);
  if (admission.refused !== undefined) return admission.refused;
  if (problem !== undefined) return { code: "bad_request", message: problem };
  if (key !== undefined && "problem" in key) return { code: "bad_request", message: key.problem };
  const publisher = await deps
    .publisherOf(admission.principal.teamId)
    .catch((error: unknown) => failureOf(error, deps));
  if ("code" in publisher) return publisher;
  if (body.aborted) return { code: "bad_request", message: "the body did not come to its end" };
  const { principal, refused } = lookAgain(admission, deps);
  if (refused !== undefined) return refused;
  const share = limits.share(principal, roomOf(request));
  if ("code" in share) return share;
  const place = limits.enter(caller.address, principal);
  if ("code" in place) {
    share.leave();
    return place;
  }
  const stream = new PublishStream(res, body, {
    channel,
    principal,
    key,
    wantsLines,
    publisher,
    deps,
    since: admission.since,
  });
  connections.add(stream);
  try {
    await stream.run();
  } finally {
    connections.delete(stream);
    place.leave();
    share.leave();
  }
  return stream;
}

/** What is reserved for it: all of it if it is short. */
function roomOf({ length = STREAM_BYTES }: PublishRequest): number {
  return Math.min(length, STREAM_BYTES);
}

function answerSummary(res: HttpResponse, { tally, ended }: PublishStream): void {
  const { outcome, summary, errors } = tally.close(ended);
  const status = typeof outcome === "number" ? outcome : ERRORS[outcome].status;
  answer(res, status, { ...summary, errors }, retryAfter(ended?.retryAfterMs));
}

function lastLine({ tally, ended }: PublishStream): string {
  return `${JSON.stringify(tally.close(ended).summary)}\n`;
}
