import { isId } from "@kata/protocol/wire";
import { errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from "jose";
import type { SessionStore } from "../adapters.ts";
import type { SessionPrincipal } from "../principal.ts";
import type { JwtKeys } from "./jwt-keys.ts";
import { type JwtRefusal, refusalOf } from "./jwt-refusal.ts";
import { isTime, isUserId } from "./session-record.ts";

export interface JwtSessionsOptions {
  readonly keys: JwtKeys;
  /** What `iss` must be; default: anything. */
  readonly issuer?: string | undefined;
  /** What `aud` must be or contain; default: anything, which lets in what the issuer gave out for other applications. */
  readonly audience?: string | undefined;
  /** The claim with the team's id; default `team_id`. */
  readonly teamClaim?: string | undefined;
  /** How far the issuer's clock may be from ours, seconds; default 5. */
  readonly clockToleranceSeconds?: number | undefined;
  /** Told why a token was refused; nothing of its contents. Must not throw. */
  readonly onRefused?: ((code: JwtRefusal) => void) | undefined;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

export type JwtSessions = Pick<SessionStore, "verifyToken">;

/** As resolvePrincipal has it. */
const MAX_TOKEN = 16_384;
/** So many keys are tried for a token that names none. */
const MAX_TRIES = 8;

/**
 * Sessions whose tokens are JWTs: the user is `sub`, the team a claim of its own, and `exp` must be there.
 *
 * The principal's `expiresAt` is `exp` plus the clock tolerance, nothing later: the moment from which on the token would
 * be refused. A token that is right in everything but that it has expired gives its principal, whose `expiresAt` has
 * passed, so that the client can be told to fetch a fresh one; every other one that is not right gives `undefined`.
 * `verifyToken` rejects only while the keys cannot be read.
 */
export function createJwtSessions(options: JwtSessionsOptions): JwtSessions {
  const { keys, issuer, audience, teamClaim = "team_id", clockToleranceSeconds = 5, now = Date.now } = options;
  const refuse = (code: JwtRefusal): undefined => {
    options.onRefused?.(code);
    return undefined;
  };
  const demands = (): JWTVerifyOptions => ({
    algorithms: [...keys.algorithms],
    requiredClaims: ["exp", "sub", teamClaim],
    clockTolerance: clockToleranceSeconds,
    currentDate: new Date(now()),
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
  });
  return {
    async verifyToken(token) {
      if (token.length > MAX_TOKEN) return refuse("jwt_malformed");
      let claims: JWTPayload;
      try {
        claims = await verify(token, keys, demands());
      } catch (error) {
        // Expiry is looked at last: signature, issuer, audience and start were right.
        if (error instanceof errors.JWTExpired) claims = error.payload;
        else {
          const code = refusalOf(error);
          if (code === undefined) throw error;
          return refuse(code);
        }
      }
      const principal = principalOf(claims, teamClaim, clockToleranceSeconds);
      if (principal === undefined) return refuse("jwt_claims");
      if (principal.expiresAt <= now()) refuse("jwt_expired");
      return principal;
    },
  };
}

async function verify(token: string, keys: JwtKeys, demands: JWTVerifyOptions): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, keys.find, demands)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    let tries = 0;
    for await (const key of error) {
      if (++tries > MAX_TRIES) break;
      try {
        return (await jwtVerify(token, key, demands)).payload;
      } catch (wrong) {
        if (!(wrong instanceof errors.JWSSignatureVerificationFailed)) throw wrong;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

function principalOf(claims: JWTPayload, teamClaim: string, tolerance: number): SessionPrincipal | undefined {
  const { sub: userId, exp, [teamClaim]: teamId } = claims;
  const expiresAt = exp === undefined ? undefined : Math.floor((exp + tolerance) * 1_000);
  if (!isUserId(userId) || !isId(teamId) || !isTime(expiresAt)) return undefined;
  return { type: "session_user", teamId, userId, expiresAt };
}
