import type { Principal } from "../auth/principal.ts";
import type { LimitRefusal } from "./limits/limits.ts";
import type { Refusal } from "./refusal.ts";
import type { Caller } from "./request.ts";
import type { SessionDeps } from "./session.ts";
import { EXPLAINED } from "./wire-error.ts";

/** Why a caller is nobody, or not now. Each ends a WebSocket with a close code of its own. */
export type IdentityRefusal = LimitRefusal | Refusal<"unauthenticated" | "token_expired" | "unavailable" | "forbidden">;

export type Identity =
  | { readonly principal: Principal; readonly refused?: undefined }
  | { readonly principal?: undefined; readonly refused: IdentityRefusal };

/**
 * Who is calling. Credentials that are nobody's are counted by address: from one that sends them on and on none are
 * looked at for a while, right ones included [LIMIT-3].
 */
export async function authenticate(
  { credentials, address, foreignOrigin }: Caller,
  { resolve, limits }: Pick<SessionDeps, "resolve" | "limits">,
): Promise<Identity> {
  if (foreignOrigin) return { refused: { code: "forbidden", message: EXPLAINED.origin } };
  if (Object.keys(credentials).length === 0) return refuse("unauthenticated");
  const resolution = await limits.authenticate(address, () => resolve(credentials));
  if ("code" in resolution) return { refused: resolution };
  const { principal, errorCode } = resolution;
  if (principal !== undefined) return { principal };
  // An expired token was a good one, and an outage is nobody's fault who asks.
  if (errorCode === "unauthenticated") limits.failed(address);
  return refuse(errorCode);
}

function refuse(code: "unauthenticated" | "token_expired" | "unavailable"): Identity {
  return { refused: { code, message: EXPLAINED[code] } };
}
