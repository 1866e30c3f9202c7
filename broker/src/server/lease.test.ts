import { describe, expect, it } from "vitest";
import type { Principal } from "../auth/principal.ts";
import { Lease, WARNING_MS } from "./lease.ts";

const user = (expiresAt: number, sessionId = "s1"): Principal => ({
  type: "session_user",
  teamId: "t",
  userId: "u",
  expiresAt,
  sessionId,
});
const key = (expiresAt?: number, secretId = "one"): Principal => ({
  type: "api_key",
  teamId: "t",
  keyId: "k",
  scopes: ["subscribe"],
  secretId,
  ...(expiresAt === undefined ? {} : { expiresAt }),
});
const END = 10 * WARNING_MS;

describe("[AUTH-3] a lease", () => {
  it("warns once, a while before its end, and ends at it", () => {
    const lease = new Lease(user(END));
    expect(lease.due(0)).toBeUndefined();
    expect(lease.due(END - WARNING_MS - 1)).toBeUndefined();
    expect(lease.due(END - WARNING_MS)).toEqual({ what: "warn", endsAt: END });
    expect(lease.due(END - 1)).toBeUndefined();
    expect(lease.due(END)).toEqual({ what: "expired" });
    expect(lease.due(END + 1)).toEqual({ what: "expired" });
  });

  it("that is short warns at once; one that is over does not", () => {
    expect(new Lease(user(1_000)).due(0)).toEqual({ what: "warn", endsAt: 1_000 });
    expect(new Lease(user(1_000)).due(1_000)).toEqual({ what: "expired" });
  });

  it("without an end has none", () => {
    expect(new Lease(key()).due(Number.MAX_SAFE_INTEGER)).toBeUndefined();
  });

  it("renewed counts from its new end, and warns again", () => {
    const lease = new Lease(user(END));
    lease.due(END - 1);
    lease.renew(user(2 * END));
    expect(lease.due(END)).toBeUndefined();
    expect(lease.due(2 * END - 1)).toEqual({ what: "warn", endsAt: 2 * END });
    // A renewal can also be shorter.
    lease.renew(user(END));
    expect(lease.due(2 * END - 1)).toEqual({ what: "expired" });
  });

  it.each([
    ["its key", key(), { type: "api_key", keyId: "k" }, true],
    ["its secret", key(), { type: "api_key", keyId: "k", secretId: "one" }, true],
    ["the key's other secret", key(), { type: "api_key", keyId: "k", secretId: "two" }, false],
    ["another key", key(), { type: "api_key", keyId: "l" }, false],
    ["its session", user(END), { type: "session", sessionId: "s1" }, true],
    ["another session", user(END), { type: "session", sessionId: "s2" }, false],
    ["a key that has its session's name", user(END), { type: "api_key", keyId: "s1" }, false],
    ["a session that has its key's name", key(), { type: "session", sessionId: "k" }, false],
  ] as const)("ends with %s", (_what, principal, revocation, concerned) => {
    const lease = new Lease(principal);
    expect(lease.revoke(revocation)).toBe(concerned);
    expect(lease.due(0)).toEqual(concerned ? { what: "revoked" } : undefined);
  });

  it("revoked from a later moment on ends then, unless it ended before", () => {
    const lease = new Lease(key(END));
    lease.revoke({ type: "api_key", keyId: "k", at: 2 * END });
    expect(lease.due(END)).toEqual({ what: "expired" });
    const longer = new Lease(key());
    longer.revoke({ type: "api_key", keyId: "k", at: END });
    expect(longer.due(END - 1)).toEqual({ what: "warn", endsAt: END });
    expect(longer.due(END)).toEqual({ what: "expired" });
  });
});
