import type { SessionStore } from "../adapters.ts";
import { SESSION_PREFIX } from "./session-id.ts";

export interface SessionParts {
  /** Knows tokens that are no session ids. */
  readonly jwt?: Pick<SessionStore, "verifyToken"> | undefined;
  /** Knows ids that begin with `kss_`. */
  readonly kv?: Pick<SessionStore, "verifySession" | "onRevoked"> | undefined;
  /** An application's own: it is asked about ids of another form, and about tokens where `jwt` is not there. */
  readonly other?: SessionStore | undefined;
}

/**
 * One store of several. What begins with `kss_` is a session id, also where it is presented as a token; whose part is not
 * there is valid nowhere.
 */
export function createSessions({ jwt, kv, other }: SessionParts): SessionStore {
  const ofKv = (text: string) => kv !== undefined && text.startsWith(SESSION_PREFIX);
  const revoking = [kv, other].filter((each) => each?.onRevoked !== undefined);
  return {
    async verifySession(sessionId) {
      return ofKv(sessionId) ? kv?.verifySession(sessionId) : other?.verifySession(sessionId);
    },
    async verifyToken(token) {
      return ofKv(token) ? kv?.verifySession(token) : (jwt ?? other)?.verifyToken(token);
    },
    onRevoked(listener) {
      const ends = revoking.map((each) => each?.onRevoked?.(listener));
      return () => {
        for (const end of ends) end?.();
      };
    },
  };
}
