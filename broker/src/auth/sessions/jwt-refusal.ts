import { errors } from "jose";

/** Why a token was refused: for the log. Whoever presented it learns only that it was. */
export type JwtRefusal =
  /** No signed JWT: the form, the header, or the claims cannot be read, or it is too long. */
  | "jwt_malformed"
  /** Signed in a way that the configured keys are not for; `none` and a public key taken for a secret end here. */
  | "jwt_algorithm"
  /** The key set has no such key. */
  | "jwt_unknown_key"
  | "jwt_signature"
  | "jwt_issuer"
  | "jwt_audience"
  | "jwt_not_yet_valid"
  | "jwt_expired"
  /** A claim that is needed is missing, or is not what it has to be: `sub`, `exp`, the team. */
  | "jwt_claims";

/** What a verification that failed says of the token; `undefined` if it failed for another reason. */
export function refusalOf(error: unknown): JwtRefusal | undefined {
  if (error instanceof errors.JWTClaimValidationFailed) return refusedClaim(error);
  if (error instanceof errors.JWSSignatureVerificationFailed) return "jwt_signature";
  if (error instanceof errors.JWKSNoMatchingKey) return "jwt_unknown_key";
  if (error instanceof errors.JOSEAlgNotAllowed) return "jwt_algorithm";
  // JOSENotSupported: a header that must be understood (`crit`) and is not.
  if (
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JOSENotSupported
  ) {
    return "jwt_malformed";
  }
  return undefined;
}

function refusedClaim({ claim, reason }: errors.JWTClaimValidationFailed): JwtRefusal {
  if (claim === "iss") return "jwt_issuer";
  if (claim === "aud") return "jwt_audience";
  return claim === "nbf" && reason === "check_failed" ? "jwt_not_yet_valid" : "jwt_claims";
}
