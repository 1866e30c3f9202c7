import type { Principal } from "../auth/principal.ts";
import { afterRevocations } from "../auth/revocation.ts";
import type { LimitRefusal } from "./limits/limits.ts";
import type { Refusal } from "./refusal.ts";
import type { Caller } from "./request.ts";
import type { SessionDeps } from "./session.ts";
import { EXPLAINED } from "./wire-error.ts";

/** Why a caller is nobody, or not now. Each ends a WebSocket with a close code of its own. */
export type IdentityRefusal = LimitRefusal | Refusal<"unauthenticated" | "token_expired" | "unavailable" | "forbidden">;

/** Somebody, as it was known at a time. */
export interface Known {
  readonly principal: Principal;
  /** When it was asked, `performance.now()`. */
  readonly since: number;
  readonly refused?: undefined;
}

export type Identity = Known | { readonly principal?: undefined; readonly refused: IdentityRefusal };

/**
 * Who is calling. Credentials that are nobody's are counted by address: from one that sends them on and on none are
 * looked at for a while, right ones included [LIMIT-3].
 */
export async function authenticate(
  { credentials, address, foreignOrigin }: Caller,
  deps: Pick<SessionDeps, "resolve" | "limits" | "revokedSince">,
): Promise<Identity> {
  if (foreignOrigin) return { refused: { code: "forbidden", message: EXPLAINED.origin } };
  if (Object.keys(credentials).length === 0) return refuse("unauthenticated");
  const { resolve, limits } = deps;
  const since = performance.now();
  const resolution = await limits.authenticate(address, () => resolve(credentials));
  if ("code" in resolution) return { refused: resolution };
  const { principal, errorCode } = resolution;
  if (principal !== undefined) return lookAgain({ principal, since }, deps);
  // An expired token was a good one, and an outage is nobody's fault who asks.
  if (errorCode === "unauthenticated") limits.failed(address);
  return refuse(errorCode);
}

/**
 * [AUTH-3] Whether somebody still is who it was, and for how long: while an answer or a body was waited for, credentials
 * can have ended or been taken back.
 */
export function lookAgain(known: Known, { revokedSince }: Pick<SessionDeps, "revokedSince">): Identity {
  const principal = afterRevocations(known.principal, revokedSince(known.since));
  if (principal === undefined) return refuse("unauthenticated");
  if (principal.expiresAt === undefined || principal.expiresAt > Date.now()) return { principal, since: known.since };
  return refuse(principal.type === "api_key" ? "unauthenticated" : "token_expired");
}

function refuse(code: "unauthenticated" | "token_expired" | "unavailable"): Identity {
  return { refused: { code, message: EXPLAINED[code] } };
}
