import type { HttpResponse } from "uWebSockets.js";
import type { ErrorCode } from "@kata/protocol/wire";
import { type EventInput, parseEvents } from "../event-input.ts";
import { admit } from "./admit.ts";
import { lookAgain } from "./authenticate.ts";
import { type IncomingBody, receiveBody } from "./body.ts";
import { NDJSON, parseJson, withoutMark } from "./publish-json.ts";
import { failureOf, type PublishDeps, type Together } from "./publish-port.ts";
import { type KeyHeaders, type PublishRequest, togetherOf } from "./publish-request.ts";
import { type Results, resultsOf } from "./publish-results.ts";
import type { Refusal } from "./refusal.ts";
import { answer, answerError, answerLast, answerRefusal } from "./respond.ts";

/** Takes a JSON body, one event or an array, and stores it when all of it is known to be right [HTTP-1]. */
export function publishBody(res: HttpResponse, request: PublishRequest, deps: PublishDeps): void {
  const { maxBodyBytes } = deps.config;
  // Without a length it can be as long as any.
  const { length = maxBodyBytes } = request;
  if (length > maxBodyBytes) return answerError(res, "too_large", tooLarge(maxBodyBytes));
  const room = deps.limits.reserve(length);
  if ("code" in room) {
    answerLast(res);
    return answerRefusal(res, room);
  }
  const body = receiveBody(res, maxBodyBytes, request.length);
  publish(body, request, length, deps)
    .catch((error: unknown): Refusal => {
      deps.logger.error({ err: error }, "a publish request failed");
      return { code: "internal", message: "publishing failed: try again" };
    })
    .then(async (outcome) => {
      // What still comes is not kept: it needs no room.
      room.leave();
      await body.drop();
      if (body.aborted) return;
      if (!body.whole) answerLast(res);
      if ("code" in outcome) answerRefusal(res, outcome);
      else answer(res, outcome.status, outcome.body);
    });
}

async function publish(
  incoming: IncomingBody,
  { channel, caller, key, problem }: PublishRequest,
  length: number,
  deps: PublishDeps,
): Promise<Results | Refusal> {
  const fail = (code: ErrorCode, message: string): Refusal => ({ code, message });
  const admission = await admit(caller, "publish", channel, deps);
  if (admission.refused !== undefined) return admission.refused;
  if (problem !== undefined) return fail("bad_request", problem);
  if (key !== undefined && "problem" in key) return fail("bad_request", key.problem);
  const share = deps.limits.share(admission.principal, length);
  if ("code" in share) return share;
  const body = await incoming.read.finally(() => share.leave());
  if (body === "aborted") return fail("bad_request", "the body did not come to its end");
  if (body === "too large") return fail("too_large", tooLarge(deps.config.maxBodyBytes));
  const { principal, refused } = lookAgain(admission, deps);
  if (refused !== undefined) return refused;
  const limited = deps.limits.publish(principal, body.length);
  if (limited !== undefined) return limited;
  const read = parseJson(withoutMark(body), "the body");
  if ("problem" in read) return fail("invalid_json", read.problem);
  const { json } = read;
  const parsed = parseEvents(json);
  if ("problem" in parsed) return fail("invalid_event", parsed.problem);
  const keyed = key === undefined ? { events: parsed.events } : underKey(parsed.events, key, Array.isArray(json));
  if ("problem" in keyed) return fail("bad_request", keyed.problem);
  if (!deps.log.connected) return fail("unavailable", "the log cannot be reached: NATS is away, try again soon");
  try {
    const publisher = await deps.publisherOf(principal.teamId);
    return resultsOf(await publisher.publish(channel, keyed.events, keyed.together), deps);
  } catch (error) {
    return failureOf(error, deps);
  }
}

interface Keyed {
  readonly events: readonly EventInput[];
  readonly together?: Together;
}

/** [HTTP-10] An array is one record under the key of its request; that of a single event is the event's own, and may be given twice. */
function underKey(events: readonly EventInput[], key: KeyHeaders, isArray: boolean): Keyed | { problem: string } {
  const { idempotencyKey } = key;
  const together = togetherOf(key, idempotencyKey, performance.now());
  if (isArray) {
    if (events.every((event) => event.idempotencyKey === undefined)) return { events, together };
    return { problem: "an event of an array with an Idempotency-Key has no idempotencyKey of its own" };
  }
  const alone = events.map(({ idempotencyKey: own, ...event }) => ({ own, event }));
  if (alone.some(({ own }) => own !== undefined && own !== idempotencyKey)) {
    return { problem: "Idempotency-Key and the event's idempotencyKey differ: send one of them" };
  }
  return { events: alone.map(({ event }) => event), together: { ...together, compare: false } };
}

function tooLarge(maxBodyBytes: number): string {
  return `a body has at most ${maxBodyBytes} bytes: send more as ${NDJSON[0]}, an event a line`;
}
