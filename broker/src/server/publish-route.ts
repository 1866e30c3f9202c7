import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import { isUtf8 } from "node:buffer";
import type { ErrorCode } from "@kata/protocol/wire";
import type { Credentials } from "../auth/resolve-principal.ts";
import { type EventInput, parseEvents } from "../event-input.ts";
import { admit } from "./admit.ts";
import { type IncomingBody, receiveBody } from "./body.ts";
import { channelOf, credentialsOf } from "./request.ts";
import { answer, answerError } from "./respond.ts";
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
  const credentials = credentialsOf(req);
  const length = Number(req.getHeader("content-length") || 0);
  const body = receiveBody(res, deps.config.maxBodyBytes);
  publish(res, body, { channel, credentials, length }, deps).catch((error: unknown) => {
    deps.logger.error({ err: error }, "a publish request failed");
    if (!body.aborted) answerError(res, "internal", "publishing failed: try again");
  });
}

async function publish(
  res: HttpResponse,
  incoming: IncomingBody,
  { channel, credentials, length }: { channel: string; credentials: Credentials; length: number },
  deps: PublishDeps,
): Promise<void> {
  const fail = (code: ErrorCode, message: string) => {
    if (!incoming.aborted) answerError(res, code, message);
  };
  const tooLarge = `a body has at most ${deps.config.maxBodyBytes} bytes`;
  if (length > deps.config.maxBodyBytes) return fail("too_large", tooLarge);
  const admission = await admit(credentials, "publish", channel, deps);
  if (admission.refused !== undefined) return fail(admission.refused.code, admission.refused.message);
  const body = await incoming.read;
  if (body === "aborted") return;
  if (body === "too large") return fail("too_large", tooLarge);
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
    const eventIds = await deps.publish(admission.principal.teamId, channel, parsed.events);
    if (!incoming.aborted) answer(res, 201, { eventIds });
  } catch (error) {
    const known = deps.publishErrorOf(error);
    if (known === undefined) deps.logger.error({ err: error }, "publishing failed");
    fail(known?.code ?? "internal", known?.message ?? "publishing failed: try again");
  }
}
