import type { ApiKeyAuth, Revocation, SessionStore } from "@kata/broker";
import type { ApiKeyPrincipal, Principal, SessionPrincipal } from "../../broker/src/auth/principal.ts";
import { type Kept, openBroker } from "./matrix-rig.ts";

const HOUR = 3_600_000;

/** An adapter whose answers a test holds back. */
export class Held {
  readonly #answers = new Map<string, { readonly principal: Principal; readonly until: Promise<void> | undefined }>();
  readonly #listeners = new Set<(revocation: Revocation) => void>();
  readonly asked: string[] = [];

  know(text: string, principal: Principal, until?: Promise<void>): void {
    this.#answers.set(text, { principal, until });
  }

  tell(revocation: Revocation): void {
    for (const listener of this.#listeners) listener(revocation);
  }

  async find(text: string): Promise<never> {
    const answer = this.#answers.get(text);
    this.asked.push(text);
    await answer?.until;
    return answer?.principal as never;
  }

  onRevoked(listener: (revocation: Revocation) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

export function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** A key of t1. */
export const principal = (keyId: string, more: Partial<ApiKeyPrincipal> = {}): ApiKeyPrincipal => ({
  type: "api_key",
  teamId: "t1",
  keyId,
  scopes: ["subscribe", "publish"],
  ...more,
});
/** A session of one user of t1, whom a test names by it. */
export const ann = (sessionId: string, lifeMs = HOUR): SessionPrincipal => ({
  type: "session_user",
  teamId: "t1",
  userId: "ann",
  sessionId,
  expiresAt: Date.now() + lifeMs,
});

/** A broker whose adapters answer when the test lets them. */
export async function openHeld(kept: Kept) {
  const keys = new Held();
  const sessions = new Held();
  const apiKeys: ApiKeyAuth = { verifyKey: (key) => keys.find(key), onRevoked: (each) => keys.onRevoked(each) };
  const store: SessionStore = {
    verifyToken: (token) => sessions.find(token),
    verifySession: (id) => sessions.find(id),
    onRevoked: (each) => sessions.onRevoked(each),
  };
  const broker = await openBroker(kept, { heartbeatIntervalMs: 40 }, { apiKeys, sessions: store });
  return { broker, keys, sessions, [Symbol.asyncDispose]: () => broker.close() };
}

/** The answer to `auth`, not the warning that comes by itself. */
export function isAnswer(payload: unknown): boolean {
  const { code, teamId } = payload as { code?: string; teamId?: string };
  return teamId !== undefined || (code !== undefined && code !== "token_expiring");
}
