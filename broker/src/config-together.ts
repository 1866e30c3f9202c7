const JWT_KEYS = ["KATA_JWT_SECRET", "KATA_JWT_JWKS"] as const;

/** Variables that say something about what others set up: without one of those they would be set in vain. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  KATA_JWT_ISSUER: JWT_KEYS,
  KATA_JWT_AUDIENCE: JWT_KEYS,
  KATA_JWT_TEAM_CLAIM: JWT_KEYS,
  KATA_JWT_CLOCK_TOLERANCE_SECONDS: JWT_KEYS,
  KATA_AUTH_HOOK_SECRET: ["KATA_AUTH_HOOK_URL"],
  KATA_AUTH_HOOK_CACHE_MS: ["KATA_AUTH_HOOK_URL"],
};

/** What is wrong with variables that are each right by themselves, one line; `undefined` if nothing is. */
export function problemTogether(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const isSet = (name: string) => env[name] !== undefined && env[name] !== "";
  if (JWT_KEYS.every(isSet)) {
    return `${JWT_KEYS.join(" and ")} exclude each other: tokens are verified with a shared secret or with public keys`;
  }
  for (const [name, needs] of Object.entries(NEEDS)) {
    if (isSet(name) && !needs.some(isSet))
      return `${name} has no effect without ${needs.join(" or ")}: set that, too, or leave it out`;
  }
  return undefined;
}
