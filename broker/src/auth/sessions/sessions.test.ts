import { describe, expect, it } from "vitest";
import type { SessionStore } from "../adapters.ts";
import type { SessionPrincipal } from "../principal.ts";
import type { Revocation } from "../revocation.ts";
import { createSessions } from "./sessions.ts";

const ID = `kss_${"x".repeat(43)}`;
const REVOKED: Revocation = { type: "session", sessionId: "s" };

/** A store that knows everybody, by its own name, and can say that a session was revoked. */
function store(userId: string) {
  const listeners = new Set<(revocation: Revocation) => void>();
  const user = async (): Promise<SessionPrincipal> => ({ type: "session_user", teamId: "t1", userId, expiresAt: 1 });
  const all: SessionStore = {
    verifySession: user,
    verifyToken: user,
    onRevoked(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const revoke = () => {
    for (const listener of listeners) listener(REVOKED);
  };
  return { ...all, revoke, listeners };
}

describe("sessions of several kinds", () => {
  const jwt = { verifyToken: store("jwt").verifyToken };
  const kv = store("kv");
  const other = store("other");

  it.each([
    ["token", ID, { jwt, kv, other }, "kv"],
    ["token", "a.b.c", { jwt, kv, other }, "jwt"],
    ["token", "a.b.c", { kv, other }, "other"],
    ["token", "a.b.c", { kv }, undefined],
    ["token", ID, { jwt }, "jwt"],
    ["token", ID, { other }, "other"],
    ["token", ID, {}, undefined],
    ["session", ID, { jwt, kv, other }, "kv"],
    ["session", "s1", { jwt, kv, other }, "other"],
    ["session", "s1", { jwt, kv }, undefined],
    ["session", "a.b.c", { jwt, kv }, undefined],
  ] as const)("the %s %s, of the parts %o, is asked of %s", async (kind, text, parts, expected) => {
    const sessions = createSessions(parts);
    const principal = await (kind === "token" ? sessions.verifyToken(text) : sessions.verifySession(text));
    expect(principal?.userId).toBe(expected);
  });

  it("what any of them takes back is told, until nobody listens", () => {
    const heard: Revocation[] = [];
    const end = createSessions({ jwt, kv, other }).onRevoked?.((each) => heard.push(each));
    kv.revoke();
    other.revoke();
    expect(heard).toEqual([REVOKED, REVOKED]);
    end?.();
    kv.revoke();
    other.revoke();
    expect(heard).toHaveLength(2);
    expect([kv.listeners.size, other.listeners.size]).toEqual([0, 0]);
  });
});
