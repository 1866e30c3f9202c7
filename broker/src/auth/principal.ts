/** What an API key may be used for. */
export type Scope = "subscribe" | "publish" | "admin";

/** Who is on the other side, once it has been proven. */
export type Principal =
  | {
      readonly type: "api_key";
      readonly teamId: string;
      readonly keyId: string;
      readonly scopes: readonly Scope[];
    }
  | {
      readonly type: "session_user";
      readonly teamId: string;
      readonly userId: string;
      /** Milliseconds since 1970. */
      readonly expiresAt: number;
    };

/** Whether two principals are the same key or the same user of the same team. */
export function samePrincipal(a: Principal, b: Principal): boolean {
  if (a.teamId !== b.teamId) return false;
  if (a.type === "api_key") return b.type === "api_key" && a.keyId === b.keyId;
  return b.type === "session_user" && a.userId === b.userId;
}

/** Users may do everything that is not administration; a key what its scopes say. */
export function mayDo(principal: Principal, scope: Scope): boolean {
  return principal.type === "api_key" ? principal.scopes.includes(scope) : scope !== "admin";
}
