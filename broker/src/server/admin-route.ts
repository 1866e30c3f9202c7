import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import { isUtf8 } from "node:buffer";
import { isUnlimited, type Principal } from "../auth/principal.ts";
import { QuotaError } from "../auth/team-quota.ts";
import { StoreUnavailableError } from "../store/bucket.ts";
import { identify } from "./admit.ts";
import { lookAgain } from "./authenticate.ts";
import { receiveBody } from "./body.ts";
import type { Refusal } from "./refusal.ts";
import { callerOf, channelOf, codingProblem, lengthOf, queryOf } from "./request.ts";
import { answer, answerHead, answerLast, answerRefusal } from "./respond.ts";
import type { SessionDeps } from "./session.ts";
import { EXPLAINED } from "./wire-error.ts";

/**
 * What an administrative request leads to: a body, nothing to say, or why not. `changed` is for the log, where whoever
 * operates the broker can see who changed what; it holds no secret.
 */
export type Outcome =
  | { readonly status: 200 | 201; readonly body: unknown; readonly changed?: string }
  | { readonly status: 204; readonly changed?: string }
  | Refusal;

export interface AdminRequest {
  readonly principal: Principal;
  /** The path's parameter, decoded; empty if there is none. */
  readonly parameter: string;
  /** As it came, without the `?`. */
  readonly query: string;
  /** The body as JSON; `undefined` if there was none. */
  readonly body: unknown;
}

/** What is asked here is short, and is received before it is known who asks, bytes. */
const MAX_BODY = 64 * 1024;
const BAD_JSON = { code: "invalid_json", message: "the body is not JSON" } as const;

/** Answers a request that needs the scope `admin`; `perform` acts for the principal's own team. */
export function adminRoute(
  res: HttpResponse,
  req: HttpRequest,
  deps: SessionDeps,
  perform: (request: AdminRequest) => Promise<Outcome> | Outcome,
): void {
  const caller = callerOf(res, req, deps.config);
  const parameter = channelOf(req);
  const query = queryOf(req);
  const length = lengthOf(req);
  const problem = codingProblem(req);
  const maxBytes = Math.min(deps.config.maxBodyBytes, MAX_BODY);
  const room = deps.limits.reserve(maxBytes);
  if ("code" in room) {
    answerLast(res);
    return answerRefusal(res, room);
  }
  const incoming = receiveBody(res, maxBytes, length);
  const run = async (): Promise<Outcome | undefined> => {
    const identified = await identify(caller, "admin", deps);
    if (identified.refused !== undefined) return identified.refused;
    // A key that is limited to some channels could make one that is not.
    if (!isUnlimited(identified.principal)) return { code: "forbidden", message: EXPLAINED.scope };
    if (problem !== undefined) return { code: "bad_request", message: problem };
    const share = deps.limits.share(identified.principal, maxBytes);
    if ("code" in share) return share;
    const body = await incoming.read.finally(() => share.leave());
    if (body === "aborted") return undefined;
    if (body === "too large") return { code: "too_large", message: `a body has at most ${maxBytes} bytes here` };
    const parsed = parse(body);
    if (parsed === BAD_JSON) return BAD_JSON;
    const { principal, refused } = lookAgain(identified, deps);
    if (refused !== undefined) return refused;
    const outcome = await perform({ principal, parameter, query, body: parsed });
    if ("changed" in outcome && outcome.changed !== undefined) {
      const by = principal.type === "api_key" ? principal.keyId : principal.userId;
      deps.logger.info({ teamId: principal.teamId, by }, outcome.changed);
    }
    return outcome;
  };
  run()
    .catch((error: unknown): Outcome => {
      if (error instanceof QuotaError) return { code: error.code, message: error.message };
      if (error instanceof StoreUnavailableError) return { code: "unavailable", message: AWAY };
      deps.logger.error({ err: error }, "an administrative request failed");
      return { code: "internal", message: "that failed: try again" };
    })
    .then(async (outcome) => {
      // What still comes is not kept: it needs no room.
      room.leave();
      await incoming.drop();
      if (outcome === undefined || incoming.aborted) return;
      if (!incoming.whole) answerLast(res);
      if ("code" in outcome) answerRefusal(res, outcome);
      else if (outcome.status === 204) answerHead(res, 204);
      else answer(res, outcome.status, outcome.body);
    });
}

const AWAY = "the store cannot be reached now: try again soon";

function parse(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  try {
    return isUtf8(body) ? JSON.parse(body.toString("utf8")) : BAD_JSON;
  } catch {
    return BAD_JSON;
  }
}
