import type { HttpResponse, TemplatedApp } from "uWebSockets.js";
import { isUtf8 } from "node:buffer";
import type { ErrorCode } from "@kata/protocol/wire";
import { authorizeChannel } from "../auth/authorize-channel.ts";
import { mayDo } from "../auth/principal.ts";
import { type EventInput, parseEvents } from "../event-input.ts";
import type { EventLog } from "../log/event-log.ts";
import { type IncomingBody, receiveBody } from "./body.ts";
import { parseCredentials } from "./credentials.ts";
import { answer, answerError } from "./respond.ts";
import type { SessionDeps } from "./session.ts";
import { EXPLAINED } from "./wire-error.ts";

/** What publishing over HTTP needs beyond what a session needs. */
export interface HttpDeps extends SessionDeps {
  /** Stores events of one channel in order and gives their eventIds. */
  readonly publish: (teamId: string, channel: string, events: readonly EventInput[]) => Promise<string[]>;
  /** What a rejection of `publish` is to the client, `undefined` if it is a defect. */
  readonly publishErrorOf: (error: unknown) => { code: ErrorCode; message: string } | undefined;
}

/** Serves the HTTP API [HTTP-1] to [HTTP-4]. */
export function serveHttp(app: TemplatedApp, deps: HttpDeps): void {
  app.get("/healthz", (res) => answer(res, 200, { status: "ok" }));
  app.get("/readyz", (res) => void ready(res, deps.log));
  app.post("/v1/channels/:channel/events", (res, req) => {
    const channel = decode(req.getParameter(0));
    const credentials = parseCredentials({
      apiKey: req.getHeader("x-api-key"),
      authorization: req.getHeader("authorization"),
    });
    const length = Number(req.getHeader("content-length") || 0);
    const body = receiveBody(res, deps.config.maxBodyBytes);
    publish(res, body, channel, credentials, length, deps).catch((error: unknown) => {
      deps.logger.error({ err: error }, "a publish request failed");
      if (!body.aborted) answerError(res, "internal", "publishing failed: try again");
    });
  });
  for (const [path, allow] of [
    ["/healthz", "GET"],
    ["/readyz", "GET"],
    ["/v1/channels/:channel/events", "POST"],
  ] as const) {
    app.any(path, (res) => answerError(res, "method_not_allowed", `use ${allow}`, { allow }));
  }
  app.any("/ws", (res) =>
    answerError(res, "bad_request", "this is a WebSocket endpoint: connect with a WebSocket client"),
  );
  app.any("/*", (res) => answerError(res, "not_found", "no such path: see PROTOCOL.md"));
}

/** [HTTP-4] The log is asked, not believed to be there. */
async function ready(res: HttpResponse, log: EventLog): Promise<void> {
  let aborted = false;
  res.onAborted(() => {
    aborted = true;
  });
  try {
    await log.state();
    if (!aborted) answer(res, 200, { status: "ready" });
  } catch {
    if (!aborted) answerError(res, "unavailable", "the log cannot be reached: NATS is away");
  }
}

async function publish(
  res: HttpResponse,
  incoming: IncomingBody,
  channel: string,
  credentials: Parameters<SessionDeps["resolve"]>[0],
  length: number,
  deps: HttpDeps,
): Promise<void> {
  const fail = (code: ErrorCode, message: string) => {
    if (!incoming.aborted) answerError(res, code, message);
  };
  const tooLarge = `a body has at most ${deps.config.maxBodyBytes} bytes`;
  if (length > deps.config.maxBodyBytes) return fail("too_large", tooLarge);
  const { principal, errorCode } = await deps.resolve(credentials);
  if (errorCode !== undefined) return fail(errorCode, EXPLAINED[errorCode]);
  if (!mayDo(principal, "publish")) return fail("forbidden", EXPLAINED.scope);
  const authorized = await authorizeChannel(channel, principal, deps.access, deps.onAdapterError);
  if (authorized.errorCode !== undefined) return fail(authorized.errorCode, EXPLAINED[authorized.errorCode]);
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
    const eventIds = await deps.publish(principal.teamId, channel, parsed.events);
    if (!incoming.aborted) answer(res, 201, { eventIds });
  } catch (error) {
    const known = deps.publishErrorOf(error);
    if (known === undefined) deps.logger.error({ err: error }, "publishing failed");
    fail(known?.code ?? "internal", known?.message ?? "publishing failed: try again");
  }
}

function decode(parameter: string | undefined): string {
  try {
    return decodeURIComponent(parameter ?? "");
  } catch {
    return "";
  }
}
