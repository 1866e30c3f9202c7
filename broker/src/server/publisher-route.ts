import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import { STREAM } from "@kata/protocol/wire";
import type { TeamSecrets } from "../auth/team-secrets.ts";
import { StoreUnavailableError } from "../store/bucket.ts";
import { identify } from "./admit.ts";
import type { Refusal } from "./refusal.ts";
import { type Caller, callerOf } from "./request.ts";
import { answer, answerRefusal } from "./respond.ts";
import type { SessionDeps } from "./session.ts";
import { EXPLAINED } from "./wire-error.ts";

/** What a route needs beyond what a session does. */
export interface PublisherDeps extends SessionDeps {
  readonly secrets: TeamSecrets;
}

interface About {
  readonly teamId: string;
  readonly stream: string;
  /** base64url */
  readonly idempotencySecret: string;
}

/** `GET /v1/publisher` [HTTP-6]: the same as a publisher is told at NATS [NATS-4]. */
export function publisherRoute(res: HttpResponse, req: HttpRequest, deps: PublisherDeps): void {
  const caller = callerOf(res, req, deps.config);
  let aborted = false;
  res.onAborted(() => {
    aborted = true;
  });
  about(caller, deps)
    .catch((error: unknown): Refusal => {
      if (error instanceof StoreUnavailableError) return { code: "unavailable", message: EXPLAINED.unavailable };
      deps.logger.error({ err: error }, "a publisher could not be told what it needs");
      return { code: "internal", message: "that failed: try again" };
    })
    .then((outcome) => {
      if (aborted) return;
      if ("code" in outcome) answerRefusal(res, outcome);
      else answer(res, 200, outcome);
    });
}

async function about(caller: Caller, deps: PublisherDeps): Promise<About | Refusal> {
  const identified = await identify(caller, "publish", deps);
  if (identified.refused !== undefined) return identified.refused;
  const { principal } = identified;
  // A page in a browser has no use for the secret, and whoever looks into it would.
  if (principal.type !== "api_key") return { code: "forbidden", message: EXPLAINED.scope };
  const secret = await deps.secrets.secretOf(principal.teamId);
  return { teamId: principal.teamId, stream: STREAM, idempotencySecret: Buffer.from(secret).toString("base64url") };
}
