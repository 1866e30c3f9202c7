import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { HookError } from "../../broker/src/auth/hooks/hook-error.ts";
import { createHttpHook, type HttpHook, type HttpHookOptions } from "../../broker/src/auth/hooks/http-hook.ts";
import { resolvePrincipal } from "../../broker/src/auth/resolve-principal.ts";
import { type Answer, type AnsweringServer, json, startAnsweringServer } from "./answering-server.ts";

const KEY = { teamId: "t1", keyId: "k1", scopes: ["subscribe"] };
const USER = { teamId: "t1", userId: "ann", expiresAt: Date.UTC(2100, 0) };
const OWNER = { teamId: "t1" };

interface Case {
  readonly ask: (hook: HttpHook, text?: string) => Promise<unknown>;
  readonly body: object;
  readonly answer: object;
  readonly result: unknown;
}

const CASES: Record<string, Case> = {
  "API key": {
    ask: (hook, key = "kat_x") => hook.verifyKey(key),
    body: { kind: "api_key", key: "kat_x" },
    answer: KEY,
    result: { type: "api_key", ...KEY },
  },
  session: {
    ask: (hook, id = "s1") => hook.verifySession(id),
    body: { kind: "session", sessionId: "s1" },
    answer: USER,
    result: { type: "session_user", ...USER },
  },
  token: {
    ask: (hook, token = "a.b") => hook.verifyToken(token),
    body: { kind: "token", token: "a.b" },
    answer: USER,
    result: { type: "session_user", ...USER },
  },
  spec: {
    ask: (hook, id = "x") => hook.resolveSpecTeamId(id),
    body: { kind: "spec", id: "x" },
    answer: OWNER,
    result: "t1",
  },
  agent: {
    ask: (hook, id = "x") => hook.resolveAgentTeamId(id),
    body: { kind: "agent", id: "x" },
    answer: OWNER,
    result: "t1",
  },
};
const cases = Object.entries(CASES);
const token = CASES.token as Case;

/** A hook whose time a test holds in its hand. */
async function rig(answer: AnsweringServer["answer"], options: Partial<HttpHookOptions> = {}) {
  const application = await startAnsweringServer(answer);
  const clock = { now: 1_000_000 };
  const hook = createHttpHook({ url: application.url, now: () => clock.now, ...options });
  return Object.assign(application, { application, clock, hook });
}

describe("an application's hook", () => {
  it.each(cases)("is asked for a %s, and believed", async (_what, { ask, body, answer, result }) => {
    await using world = await rig(() => json({ ...answer, somethingElse: true }), { secret: "s3cret" });
    expect(await ask(world.hook)).toEqual(result);
    expect(world.asked).toHaveLength(1);
    const [asked] = world.asked;
    expect(asked).toMatchObject({
      method: "POST",
      path: "/ask",
      headers: { "content-type": "application/json", authorization: "Bearer s3cret" },
    });
    expect(JSON.parse(asked?.body ?? "")).toEqual(body);
  });

  it("may say more of a key and of a session", async () => {
    const key = { ...KEY, channels: ["spec:*"], expiresAt: 4_000_000_000_000, secretId: "s" };
    await using world = await rig(({ body }) => json(body.includes("api_key") ? key : { ...USER, sessionId: "named" }));
    expect(await world.hook.verifyKey("kat_x")).toEqual({ type: "api_key", ...key });
    expect(await world.hook.verifySession("s1")).toMatchObject({ sessionId: "named" });
  });

  it("presents no secret where there is none", async () => {
    await using world = await rig(() => json(OWNER));
    await world.hook.resolveSpecTeamId("x");
    expect(world.asked[0]?.headers).not.toHaveProperty("authorization");
  });

  it.each(cases)("that answers 404 knows no such %s", async (_what, { ask }) => {
    await using world = await rig(() => ({ status: 404, body: "<html>" }));
    expect(await ask(world.hook)).toBeUndefined();
  });

  const nonsense: [string, Answer, string][] = [
    ["no JSON", { body: "yes" }, "hook_answer"],
    ["nothing", {}, "hook_answer"],
    ["true", json(true), "hook_answer"],
    ["null", json(null), "hook_answer"],
    ["an empty object", json({}), "hook_answer"],
    ["a team that is none", json({ ...KEY, ...USER, teamId: "t1.>" }), "hook_answer"],
    ["another status of success", json({ ...KEY, ...USER }, 201), "hook_status"],
    ["no content", { status: 204 }, "hook_status"],
    ["that it may not ask", json({}, 401), "hook_status"],
    ["that it may not know", json({}, 403), "hook_status"],
    ["an error", json({ ...KEY, ...USER }, 500), "hook_status"],
    ["a redirect", { status: 307, headers: { location: "/elsewhere" } }, "hook_status"],
    ["far too much", json({ ...KEY, ...USER, note: "x".repeat(65_536) }), "fetch_too_large"],
  ];
  it.each(cases.flatMap(([what, { ask }]) => nonsense.map(([name, ...row]) => [what, name, ask, ...row] as const)))(
    "[CONNECT-5] that is asked for a %s and answers %s is an outage",
    async (_what, _nonsense, ask, answer, code) => {
      await using world = await rig(({ path }) => (path === "/ask" ? answer : json({ ...KEY, ...USER })));
      const failure = await ask(world.hook, "the-credential").catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(HookError);
      expect(failure).toMatchObject({ code });
      expect(String(failure)).not.toMatch(/the-credential|127\.0\.0\.1/);
      // A failure is not remembered, and nobody was asked elsewhere.
      world.answer = () => json({ ...KEY, ...USER });
      expect(await ask(world.hook, "the-credential")).toBeDefined();
      expect(world.asked.map(({ path }) => path)).toEqual(["/ask", "/ask"]);
    },
  );

  it.each<[string, object]>([
    ["no scopes", { ...KEY, scopes: undefined }],
    ["a scope that is none", { ...KEY, scopes: ["root"] }],
    ["a key without an id", { ...KEY, keyId: "" }],
    ["a channel that is none", { ...KEY, channels: ["*"] }],
    ["an end that is none", { ...KEY, expiresAt: "tomorrow" }],
    ["a user", USER],
  ])("that answers %s for a key is an outage", async (_what, answer) => {
    await using world = await rig(() => json(answer));
    await expect(world.hook.verifyKey("kat_x")).rejects.toMatchObject({ code: "hook_answer" });
  });

  it.each<[string, object]>([
    ["no end", { ...USER, expiresAt: undefined }],
    ["an end that no date can be", { ...USER, expiresAt: 1e300 }],
    ["no user", { ...USER, userId: "" }],
    ["a key", KEY],
  ])("that answers %s for a session is an outage", async (_what, answer) => {
    await using world = await rig(() => json(answer));
    await expect(world.hook.verifySession("s1")).rejects.toMatchObject({ code: "hook_answer" });
    await expect(world.hook.verifyToken("t1")).rejects.toMatchObject({ code: "hook_answer" });
  });

  it("that does not answer in time, or whose answer does not end, is an outage", async () => {
    await using world = await rig(() => new Promise(() => undefined), { timeoutMs: 50 });
    await expect(world.hook.verifyToken("t")).rejects.toMatchObject({ code: "fetch_timeout" });
    world.answer = () => ({ headers: { "content-length": "100" }, body: "{" });
    await expect(world.hook.verifyToken("t")).rejects.toMatchObject({ code: "fetch_timeout" });
  });

  it("that is away is an outage, and is asked again when it is back", async () => {
    await using world = await rig(() => json(USER));
    await world.stop();
    const deps = { apiKeys: world.hook, sessions: world.hook };
    expect(await resolvePrincipal({ token: "t" }, deps)).toEqual({ errorCode: "unavailable", status: 503 });
    await world.start();
    expect(await resolvePrincipal({ token: "t" }, deps)).toMatchObject({ principal: { userId: "ann" } });
  });
});

describe("a connection that was kept", () => {
  it("and that the application gave up meanwhile costs nobody an outage", async () => {
    const seen = new Set<Socket>();
    let requests = 0;
    const server = createServer((request, response) => {
      requests++;
      // A second question on the same connection comes too late.
      if (seen.has(request.socket)) return void request.socket.destroy();
      seen.add(request.socket);
      response.end(JSON.stringify(USER));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const hook = createHttpHook({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` });
      // Until one came on a connection that was kept.
      for (let n = 0; n < 100 && requests === seen.size; n++) {
        expect(await hook.verifyToken(`t${n}`)).toEqual(token.result);
      }
      expect(requests).toBe(seen.size + 1);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

describe("what a hook answered", () => {
  it.each(cases)("is believed for a while: of a %s", async (_what, { ask, answer, result }) => {
    await using world = await rig(() => json(answer), { cacheMs: 5_000 });
    await ask(world.hook);
    world.clock.now += 4_999;
    expect(await ask(world.hook)).toEqual(result);
    expect(world.asked).toHaveLength(1);
    world.clock.now += 1;
    world.answer = () => json({}, 404);
    expect(await ask(world.hook)).toBeUndefined();
    expect(world.asked).toHaveLength(2);
  });

  it.each(cases)("is believed for a while where it knows no such %s", async (what, { ask, answer, result }) => {
    // Of owners for as long as what it knows: else time would tell another team's channel from nobody's [SUBSCRIBE-3].
    const ms = what === "spec" || what === "agent" ? 5_000 : 1_000;
    await using world = await rig(() => json({}, 404), { cacheMs: 5_000 });
    expect(await ask(world.hook)).toBeUndefined();
    world.answer = () => json(answer);
    world.clock.now += ms - 1;
    expect(await ask(world.hook)).toBeUndefined();
    expect(world.asked).toHaveLength(1);
    world.clock.now += 1;
    expect(await ask(world.hook)).toEqual(result);
  });

  it("is not believed longer than what it lets in is valid", async () => {
    await using world = await rig(() => json({ ...USER, expiresAt: 1_000_100 }));
    await token.ask(world.hook);
    world.clock.now += 99;
    await token.ask(world.hook);
    expect(world.asked).toHaveLength(1);
    world.clock.now += 1;
    await token.ask(world.hook);
    expect(world.asked).toHaveLength(2);
    // What has ended already is not kept at all.
    await token.ask(world.hook);
    expect(world.asked).toHaveLength(3);
  });

  it("its time begins with the question, not with a late answer", async () => {
    let answer: (answer: Answer) => void = () => undefined;
    await using world = await rig(() => new Promise((resolve) => (answer = resolve)), { cacheMs: 5_000 });
    const asked = token.ask(world.hook);
    await expect.poll(() => world.asked).toHaveLength(1);
    world.clock.now += 4_000;
    answer(json(USER));
    await asked;
    world.clock.now += 1_000;
    world.answer = () => json(USER);
    await token.ask(world.hook);
    expect(world.asked).toHaveLength(2);
  });

  it("with no time at all every question is asked", async () => {
    await using world = await rig(() => json(USER), { cacheMs: 0 });
    for (let n = 0; n < 3; n++) await token.ask(world.hook);
    world.answer = () => json({}, 404);
    for (let n = 0; n < 3; n++) await token.ask(world.hook);
    expect(world.asked).toHaveLength(6);
  });

  it("equal questions at the same time are one; others are others, also with the same text", async () => {
    await using world = await rig(() => json({ ...KEY, ...USER }));
    await Promise.all(Array.from({ length: 100 }, () => token.ask(world.hook, "x")));
    expect(world.asked).toHaveLength(1);
    await Promise.all(cases.map(([, { ask }]) => ask(world.hook, "x")));
    expect(world.asked.map(({ body }) => JSON.parse(body).kind).sort()).toEqual([
      "agent",
      "api_key",
      "session",
      "spec",
      "token",
    ]);
  });

  it("a failure is told to all who asked at the same time, and to nobody else", async () => {
    await using world = await rig(() => json({}, 500));
    const together = await Promise.allSettled([token.ask(world.hook), token.ask(world.hook)]);
    expect(together.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(world.asked).toHaveLength(1);
    world.answer = () => json(USER);
    expect(await token.ask(world.hook)).toEqual(token.result);
  });

  it("has a bound, and guesses push out nothing that is known", async () => {
    await using world = await rig(({ body }) => (body.includes("guess") ? json({}, 404) : json(USER)), {
      cacheEntries: 2,
    });
    await token.ask(world.hook, "a");
    await token.ask(world.hook, "b");
    for (let n = 0; n < 10; n++) await token.ask(world.hook, `guess${n}`);
    await token.ask(world.hook, "a");
    await token.ask(world.hook, "b");
    expect(world.asked).toHaveLength(12);
    await token.ask(world.hook, "c");
    await token.ask(world.hook, "a");
    expect(world.asked).toHaveLength(14);
  });
});

describe("many questions at a time", () => {
  it("so many are on their way, the others wait their turn", async () => {
    let open = 0;
    let most = 0;
    const gates: (() => void)[] = [];
    await using world = await rig(
      async () => {
        most = Math.max(most, ++open);
        await new Promise<void>((resolve) => gates.push(resolve));
        open--;
        return json(USER);
      },
      { maxInFlight: 3 },
    );
    const asked = Promise.all(Array.from({ length: 10 }, (_, n) => token.ask(world.hook, `t${n}`)));
    for (let n = 0; n < 10; n++) {
      await expect.poll(() => gates.length).toBeGreaterThan(n);
      gates[n]?.();
    }
    expect(await asked).toHaveLength(10);
    expect(most).toBe(3);
  });

  it("whoever waits longer than a question may take, or behind too many, has met an outage", async () => {
    await using world = await rig(() => new Promise(() => undefined), { maxInFlight: 1, timeoutMs: 100 });
    const codes = async (count: number) => {
      const results = await Promise.allSettled(Array.from({ length: count }, (_, n) => token.ask(world.hook, `t${n}`)));
      return results.map((result) => (result.status === "rejected" ? result.reason.code : "in"));
    };
    const all = await codes(1_050);
    expect(new Set(all)).toEqual(new Set(["fetch_timeout", "hook_busy"]));
    expect(all.slice(-49)).toEqual(Array(49).fill("hook_busy"));
    // The place is free again.
    world.answer = () => json(USER);
    expect(await token.ask(world.hook, "later")).toEqual(token.result);
  });
});

describe("a hook that cannot be", () => {
  it.each(["", "hook", "ftp://127.0.0.1/", "file:///etc/passwd", "http://user:pa55word@127.0.0.1/"])("at %j", (url) => {
    expect(() => createHttpHook({ url })).toThrow(TypeError);
    expect(() => createHttpHook({ url })).not.toThrow(/pa55word/);
  });

  it("with a secret that no header can carry", () => {
    for (const secret of ["", "a b", "a\r\nx: y", "ü"]) {
      expect(() => createHttpHook({ url: "http://127.0.0.1/", secret })).toThrow(TypeError);
    }
  });
});
