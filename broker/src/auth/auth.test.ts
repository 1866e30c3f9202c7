import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChannelAccess } from "./adapters.ts";
import { authorizeChannel } from "./authorize-channel.ts";
import { createDevelopmentAuth } from "./development.ts";
import type { Principal } from "./principal.ts";
import { resolvePrincipal } from "./resolve-principal.ts";

const KEY = "kat_live_dev_0123456789abcdef";
const auth = createDevelopmentAuth({ apiKey: KEY, teamId: "demo" });
const key: Principal = { type: "api_key", teamId: "demo", keyId: "dev", scopes: ["subscribe", "publish", "admin"] };

describe("resolvePrincipal", () => {
  it("knows the development key, as a key and as a token", async () => {
    expect(await resolvePrincipal({ apiKey: KEY }, auth)).toEqual({ principal: key });
    expect(await resolvePrincipal({ token: KEY }, auth)).toEqual({ principal: key });
  });

  it.each([
    {},
    { apiKey: "" },
    { apiKey: "kat_live_dev_wrong" },
    { token: "abc" },
    { sessionId: "abc" },
    { apiKey: "x".repeat(100_000) },
  ])("refuses %j", async (credentials) => {
    expect(await resolvePrincipal(credentials, auth)).toEqual({ errorCode: "unauthenticated", status: 401 });
  });

  it("looks at one credential only: a wrong key is not saved by a right token", async () => {
    expect(await resolvePrincipal({ apiKey: "kat_wrong", token: KEY }, auth)).toMatchObject({
      errorCode: "unauthenticated",
    });
  });

  const broken: unknown[] = [
    true,
    {},
    { type: "api_key" },
    { ...key, teamId: "a.>" },
    { ...key, scopes: "all" },
    { type: "session_user", teamId: "t", userId: "u", expiresAt: Number.NaN },
  ];
  it.each(broken)("[CONNECT-5] fails closed on an adapter that answers %j", async (answer) => {
    const errors: unknown[] = [];
    const apiKeys = { verifyKey: async () => answer as undefined };
    const resolution = await resolvePrincipal(
      { apiKey: KEY },
      { apiKeys, onAdapterError: (_adapter, error) => errors.push(error) },
    );
    expect(resolution).toEqual({ errorCode: "unavailable", status: 503 });
    expect(errors).toHaveLength(1);
  });

  it("[CONNECT-5] fails closed on an adapter that throws, in whichever way", async () => {
    for (const verify of [
      () => Promise.reject(new Error("away")),
      () => {
        throw new Error("away");
      },
    ]) {
      const sessions = { verifyToken: verify, verifySession: verify };
      const deps = { apiKeys: { verifyKey: verify }, sessions };
      for (const credentials of [{ apiKey: KEY }, { token: "t" }, { sessionId: "s" }]) {
        expect(await resolvePrincipal(credentials, deps)).toEqual({ errorCode: "unavailable", status: 503 });
      }
    }
  });

  it("tells an expired session from an unknown one", async () => {
    const user: Principal = { type: "session_user", teamId: "demo", userId: "u", expiresAt: 1_000 };
    const sessions = { verifyToken: async () => user, verifySession: async () => user };
    expect(await resolvePrincipal({ token: "t" }, { ...auth, sessions, now: () => 999 })).toEqual({ principal: user });
    expect(await resolvePrincipal({ sessionId: "t" }, { ...auth, sessions, now: () => 1_000 })).toEqual({
      errorCode: "token_expired",
      status: 401,
    });
  });
});

describe("authorizeChannel", () => {
  const access: ChannelAccess = {
    resolveSpecTeamId: async (id) => ({ s1: "demo", s2: "other" })[id],
    resolveAgentTeamId: async (id) => ({ a1: "demo", a2: "other" })[id],
  };

  it.each([
    ["team:demo", { subject: "kata.team.demo" }],
    ["spec:s1", { subject: "kata.team.demo.spec.s1" }],
    ["agent:a1", { subject: "kata.team.demo.agent.a1" }],
    ["team:other", { errorCode: "forbidden" }],
    ["spec:s2", { errorCode: "forbidden" }],
    ["spec:nobody", { errorCode: "forbidden" }],
    ["agent:a2", { errorCode: "forbidden" }],
    ["user:u", { errorCode: "invalid_channel" }],
    ["team:*", { errorCode: "invalid_channel" }],
  ])("[SUBSCRIBE-3] %s is %j", async (name, expected) => {
    expect(await authorizeChannel(name, key, access)).toEqual(expected);
  });

  it("[SUBSCRIBE-7] fails closed on an adapter that throws", async () => {
    const throwing: ChannelAccess = {
      resolveSpecTeamId: () => Promise.reject(new Error("away")),
      resolveAgentTeamId: () => {
        throw new Error("away");
      },
    };
    expect(await authorizeChannel("spec:s1", key, throwing)).toEqual({ errorCode: "unavailable" });
    expect(await authorizeChannel("agent:a1", key, throwing)).toEqual({ errorCode: "unavailable" });
  });

  it("a key that is limited to channels opens those alone", async () => {
    const limited: Principal = { ...key, channels: ["spec:s1", "agent:*"] };
    const asked = async (name: string) => (await authorizeChannel(name, limited, access)).errorCode;
    expect(await asked("spec:s1")).toBeUndefined();
    expect(await asked("agent:a1")).toBeUndefined();
    expect(await asked("agent:a2")).toBe("forbidden");
    expect(await asked("team:demo")).toBe("forbidden");
  });
});

describe("authorizeChannel, whatever is asked, by whomever, and whatever adapters answer", () => {
  const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
  const awkward = fc.oneof(
    id,
    fc.string({ unit: "binary" }),
    fc.string({ unit: "grapheme" }),
    fc.string({ unit: fc.constantFrom("*", ">", ".", " ", ":", "\t", "\0", "\r\n", "t1", "\u202e", "é", "ｔ") }),
    fc.constantFrom("", "t1", "t1.>", "t1.spec.x", "*", ">", "x".repeat(10_000), "t1\0", "T1"),
  );
  const name = fc.oneof(
    fc.tuple(fc.constantFrom("spec:", "agent:"), id).map((p) => p.join("")),
    awkward,
    fc
      .tuple(fc.constantFrom("team:", "spec:", "agent:", "TEAM:", "team::", "spec:spec:"), awkward)
      .map((p) => p.join("")),
  );
  const channels = fc.option(fc.array(fc.oneof(name, fc.constantFrom("spec:*", "agent:*", "team:*"))), {
    nil: undefined,
  });
  const principal: fc.Arbitrary<Principal> = fc.oneof(
    fc.record({ teamId: id, channels }).map(({ teamId, channels: limit }) => ({
      ...key,
      teamId,
      ...(limit === undefined ? {} : { channels: limit }),
    })),
    id.map((teamId) => ({ type: "session_user", teamId, userId: "u", expiresAt: 1 }) as const),
  );

  it("never yields a subject outside the principal's team, nor one that NATS reads as a pattern", async () => {
    let yielded = 0;
    await fc.assert(
      fc.asyncProperty(principal, name, awkward, fc.boolean(), async (who, channel, stranger, own) => {
        const owner = own ? who.teamId : stranger;
        const adversary: ChannelAccess = {
          resolveSpecTeamId: async () => owner,
          resolveAgentTeamId: async () => owner,
        };
        const { subject, errorCode } = await authorizeChannel(channel, who, adversary);
        if (subject === undefined) return void expect(errorCode).toMatch(/^(invalid_channel|forbidden)$/);
        yielded++;
        const [kata, team, teamId, ...rest] = subject.split(".");
        expect([kata, team, teamId]).toEqual(["kata", "team", who.teamId]);
        expect(rest.join(".")).toMatch(/^((spec|agent)\.[A-Za-z0-9_-]{1,128})?$/);
        if (who.type === "api_key" && who.channels !== undefined) {
          const kind = channel.split(":")[0];
          expect(who.channels.some((each) => each === channel || each === `${kind}:*`)).toBe(true);
        }
      }),
      { numRuns: 5_000 },
    );
    // The property is about something.
    expect(yielded).toBeGreaterThan(100);
  });
});
