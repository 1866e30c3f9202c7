import type { ApiKeyPrincipal, SessionPrincipal } from "./principal.ts";
import type { Revocation } from "./revocation.ts";

// What an application can bring of its own. An adapter that throws is an outage: whoever asked is refused and told to
// come back later; nobody is let in.

/** What an adapter may add: word of credentials that it let in and would not any more. Their connections are closed. */
export interface Revokes {
  /** The returned function ends it. `listener` does not throw. */
  onRevoked?(listener: (revocation: Revocation) => void): () => void;
}

/** Knows API keys. */
export interface ApiKeyAuth extends Revokes {
  /** The principal of a valid key, `undefined` for any other text. */
  verifyKey(key: string): Promise<ApiKeyPrincipal | undefined>;
}

/** Knows sessions: opaque ids and tokens. */
export interface SessionStore extends Revokes {
  /** The user of a valid, unexpired session id, `undefined` for any other text. */
  verifySession(sessionId: string): Promise<SessionPrincipal | undefined>;
  /** The user of a valid, unexpired token, `undefined` for any other text. */
  verifyToken(token: string): Promise<SessionPrincipal | undefined>;
}

/** Knows which team owns a spec or an agent. */
export interface ChannelAccess {
  /** The owning team's id, `undefined` if nobody knows the spec. */
  resolveSpecTeamId(specId: string): Promise<string | undefined>;
  /** The owning team's id, `undefined` if nobody knows the agent. */
  resolveAgentTeamId(agentId: string): Promise<string | undefined>;
  /**
   * What an adapter may add: word of a channel (`spec:s1`) whose owner is another now, or nobody. Its subscriptions are
   * looked at again. The returned function ends it. `listener` does not throw.
   */
  onOwnerChanged?(listener: (channel: string) => void): () => void;
}
