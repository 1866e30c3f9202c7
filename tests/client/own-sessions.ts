import type { SessionStore } from "@kata/broker";
import { TEST_TEAM } from "../support/broker.ts";

type Revoked = Parameters<NonNullable<SessionStore["onRevoked"]>>[0];

/** A session store of the test's own, whose tokens live as long as the test says. */
export interface OwnSessions extends SessionStore {
  /** A fresh token of one user (default `u1`) that expires `lifeMs` from now; negative: it did before. */
  token(lifeMs: number, userId?: string): string;
  /** When the token expires, milliseconds since 1970. */
  endOf(token: string): number;
  /** Every token that was presented to a broker, at the door and with `auth`, in order. */
  readonly presented: string[];
  /** [AUTH-3] Revokes all that was handed out. */
  revoke(): void;
  /** For the next test: nothing was handed out or presented. */
  forget(): void;
}

export function createOwnSessions(): OwnSessions {
  const known = new Map<string, { readonly userId: string; readonly expiresAt: number }>();
  const presented: string[] = [];
  const listeners = new Set<Revoked>();
  return {
    presented,
    token(lifeMs, userId = "u1") {
      const token = `token-${known.size + 1}-${crypto.randomUUID()}`;
      known.set(token, { userId, expiresAt: Date.now() + lifeMs });
      return token;
    },
    endOf: (token) => known.get(token)?.expiresAt ?? 0,
    async verifyToken(token) {
      presented.push(token);
      const session = known.get(token);
      return session && { type: "session_user", teamId: TEST_TEAM, sessionId: "s1", ...session };
    },
    async verifySession() {
      return undefined;
    },
    onRevoked(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    revoke() {
      known.clear();
      for (const listener of listeners) listener({ type: "session", sessionId: "s1" });
    },
    forget() {
      known.clear();
      presented.length = 0;
    },
  };
}
