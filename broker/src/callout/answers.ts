import { encodeAuthorizationResponse, encodeUser, fromPublic, type KeyPair } from "@nats-io/jwt";
import type { ApiKeyPrincipal } from "../auth/principal.ts";
import type { AuthorizationRequest } from "./authorization-request.ts";
import { permissionsOf } from "./permissions.ts";

/** The account that publishers are put into: see nats.conf. */
export const PUBLISHERS = "PUBLISHERS";
/** Longer, nobody is let in without being asked about anew [NATS-3]. */
const MAX_SESSION_MS = 3_600_000;

/** The one answer to whoever is not let in: why is for the broker's own log. */
export function refusal(request: AuthorizationRequest, issuer: KeyPair): Promise<string> {
  const user = fromPublic(request.userKey);
  return encodeAuthorizationResponse(user, fromPublic(request.serverId), issuer, { error: "refused" }, {});
}

/** The NATS user that the key's owner is, until the key ends or has to be looked at anew. */
export async function admission(
  request: AuthorizationRequest,
  principal: ApiKeyPrincipal,
  key: string,
  issuer: KeyPair,
): Promise<string> {
  const user = fromPublic(request.userKey);
  const end = Math.min(Date.now() + MAX_SESSION_MS, principal.expiresAt ?? Number.POSITIVE_INFINITY);
  // In seconds, and no later than it ends.
  const claims = { aud: PUBLISHERS, exp: Math.floor(end / 1_000) };
  const jwt = await encodeUser(principal.keyId, user, issuer, permissionsOf(principal, key), claims);
  return encodeAuthorizationResponse(user, fromPublic(request.serverId), issuer, { jwt }, {});
}
