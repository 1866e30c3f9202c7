import { parseChannel } from "@kata/protocol/wire";

/** What an API key may be used for. */
export const SCOPES = ["subscribe", "publish", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** An API key that was proven to be one. */
export interface ApiKeyPrincipal {
  readonly type: "api_key";
  readonly teamId: string;
  readonly keyId: string;
  readonly scopes: readonly Scope[];
  /** The only channels it may use: names (`spec:s1`), or all of a kind (`spec:*`). Absent: every channel of the team. */
  readonly channels?: readonly string[];
  /** When it ends, milliseconds since 1970. Absent: when it is revoked. */
  readonly expiresAt?: number;
  /** Which of the key's secrets was presented: after a rotation there are two for a while. */
  readonly secretId?: string;
}

/** A user whose session was proven to be one. */
export interface SessionPrincipal {
  readonly type: "session_user";
  readonly teamId: string;
  readonly userId: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** Names the session where it can be revoked by itself; no secret. */
  readonly sessionId?: string;
}

/** Who is on the other side, once it has been proven. */
export type Principal = ApiKeyPrincipal | SessionPrincipal;

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

/** Whether a key that is limited to some channels may use this one. The team is not looked at. */
export function mayUse(principal: Principal, channel: string): boolean {
  if (principal.type !== "api_key" || principal.channels === undefined) return true;
  const { channels } = principal;
  return channels.some((each) => each === channel || (each.endsWith(":*") && channel.startsWith(each.slice(0, -1))));
}

/** Whether it may use every channel of its team. */
export function isUnlimited(principal: Principal): boolean {
  return principal.type !== "api_key" || principal.channels === undefined;
}

/** Whether a text names channels that a key can be limited to: a channel, or `team:*`, `spec:*`, `agent:*`. */
export function isChannelLimit(text: unknown): text is string {
  return typeof text === "string" && (/^(team|spec|agent):\*$/.test(text) || parseChannel(text) !== undefined);
}
