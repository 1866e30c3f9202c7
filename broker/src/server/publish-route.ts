import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import { isUtf8 } from "node:buffer";
import type { ErrorCode } from "@kata/protocol/wire";
import { type EventInput, parseEvents } from "../event-input.ts";
import { admit } from "./admit.ts";
import { lookAgain } from "./authenticate.ts";
import { type IncomingBody, receiveBody } from "./body.ts";
import type { Refusal } from "./refusal.ts";
import { type Caller, callerOf, channelOf } from "./request.ts";
import { answer, answerError, answerLast, answerRefusal } from "./respond.ts";
import type { SessionDeps } from "./session.ts";

/** What publishing over HTTP needs beyond what a session needs. */
export interface PublishDeps extends SessionDeps {
  /** Stores events of one channel in order and gives their eventIds. */
  readonly publish: (teamId: string, channel: string, events: readonly EventInput[]) => Promise<string[]>;
  /** What a rejection of `publish` is to the client, `undefined` if it is a defect. */
  readonly publishErrorOf: (error: unknown) => { code: ErrorCode; message: string } | undefined;
}

/** `POST /v1/channels/{channel}/events` [HTTP-1]. */
export function publishRoute(res: HttpResponse, req: HttpRequest, deps: PublishDeps): void {
  const channel = channelOf(req);
  const caller = callerOf(res, req, deps.config);
  const { maxBodyBytes } = deps.config;
  const announced = req.getHeader("content-length");
  // Without a length it can be as long as any.
  const length = /^\d+$/.test(announced) ? Number(announced) : maxBodyBytes;
  if (length > maxBodyBytes) return answerError(res, "too_large", tooLarge(maxBodyBytes));
  const room = deps.limits.reserve(length);
  if ("code" in room) {
    answerLast(res);
    return answerRefusal(res, room);
  }
  const body = receiveBody(res, maxBodyBytes);
  publish(body, { channel, caller, length }, deps)
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
      else answer(res, 201, outcome);
    });
}

interface Stored {
  readonly eventIds: readonly string[];
}

async function publish(
  incoming: IncomingBody,
  { channel, caller, length }: { readonly channel: string; readonly caller: Caller; readonly length: number },
  deps: PublishDeps,
): Promise<Stored | Refusal> {
  const fail = (code: ErrorCode, message: string): Refusal => ({ code, message });
  const admission = await admit(caller, "publish", channel, deps);
  if (admission.refused !== undefined) return admission.refused;
  const share = deps.limits.share(admission.principal, length);
  if ("code" in share) return share;
  const body = await incoming.read.finally(() => share.leave());
  if (body === "aborted") return fail("bad_request", "the body did not come to its end");
  if (body === "too large") return fail("too_large", tooLarge(deps.config.maxBodyBytes));
  const { principal, refused } = lookAgain(admission, deps);
  if (refused !== undefined) return refused;
  const limited = deps.limits.publish(principal, body.length);
  if (limited !== undefined) return limited;
  let json: unknown;
  try {
    if (!isUtf8(body)) throw new SyntaxError("not UTF-8");
    json = JSON.parse(body.toString("utf8"));
  } catch {
    return fail("invalid_json", "the body is not JSON: send one event {type, payload} or an array of them");
  }
  const parsed = parseEvents(json);
  if ("problem" in parsed) return fail("invalid_event", parsed.problem);
  if (!deps.log.connected) return fail("unavailable", "the log cannot be reached: NATS is away, try again soon");
  try {
    return { eventIds: await deps.publish(principal.teamId, channel, parsed.events) };
  } catch (error) {
    const known = deps.publishErrorOf(error);
    if (known === undefined) deps.logger.error({ err: error }, "publishing failed");
    return fail(known?.code ?? "internal", known?.message ?? "publishing failed: try again");
  }
}

function tooLarge(maxBodyBytes: number): string {
  return `a body has at most ${maxBodyBytes} bytes`;
}
