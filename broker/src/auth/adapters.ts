import type { Principal } from "./principal.ts";

// What an application can bring of its own. An adapter that throws is an outage: whoever asked is refused and told to
// come back later; nobody is let in.

/** Knows API keys. */
export interface ApiKeyAuth {
  /** The principal of a valid key, `undefined` for any other text. */
  verifyKey(key: string): Promise<Extract<Principal, { type: "api_key" }> | undefined>;
}

/** Knows sessions: opaque ids and tokens. */
export interface SessionStore {
  /** The user of a valid, unexpired session id, `undefined` for any other text. */
  verifySession(sessionId: string): Promise<Extract<Principal, { type: "session_user" }> | undefined>;
  /** The user of a valid, unexpired token, `undefined` for any other text. */
  verifyToken(token: string): Promise<Extract<Principal, { type: "session_user" }> | undefined>;
}

/** Knows which team owns a spec or an agent. */
export interface ChannelAccess {
  /** The owning team's id, `undefined` if nobody knows the spec. */
  resolveSpecTeamId(specId: string): Promise<string | undefined>;
  /** The owning team's id, `undefined` if nobody knows the agent. */
  resolveAgentTeamId(agentId: string): Promise<string | undefined>;
}
