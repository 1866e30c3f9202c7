import { inspect } from "node:util";
import { expect, test } from "vitest";
import type { RealtimeClientOptions } from "./options.ts";
import { createHarness, type Harness } from "./testing/harness.ts";
import { at, authenticated, error, event, tokenExpiring } from "./testing/messages.ts";
import { createTokens, type Tokens } from "./testing/tokens.ts";

const C = "team:t1";
/** After so long with one token it counts as one that lasts; see `settling`. */
const SETTLED_MS = 10_000;

interface TokenHarness extends Harness {
  readonly tokens: Tokens;
  /** connect() with a token, answered, and the token has lasted. */
  settle(token?: string): void;
  /** What was offered with `auth`, over all sockets. */
  offered(): string[];
  /** With which tokens connections were opened. */
  opened(): (string | undefined)[];
}

/** Pings and pongs are out of the way; `random` is 0.5, so the first wait is 125 ms. */
function harnessOf(options: Partial<RealtimeClientOptions> = {}): TokenHarness {
  const tokens = createTokens();
  const { getToken } = tokens;
  const quiet = { pingIntervalMs: 1_000_000_000 };
  const harness = createHarness({ apiKey: undefined, getToken, ...quiet, ...options });
  const { script } = harness;
  return Object.assign(harness, {
    tokens,
    settle(token = "first") {
      void harness.client.connect();
      tokens.call.returns(token);
      harness.accept();
      harness.clock.advance(SETTLED_MS);
    },
    offered: () => script.sockets.flatMap(({ sent }) => sent.flatMap((one) => (one.type === "auth" ? one.token : []))),
    opened: () =>
      script.sockets.map(({ protocols }) =>
        protocols.find((one) => one.startsWith("bearer."))?.slice("bearer.".length),
      ),
  });
}

test("every connection attempt asks, and opens a socket only once it has a token", () => {
  const { client, script, clock, tokens, states, opened, accept } = harnessOf();
  void client.connect();
  expect([tokens.calls.length, script.sockets.length, client.status]).toEqual([1, 0, "connecting"]);
  tokens.call.returns("first");
  expect(script.socket.url).not.toContain("first");
  accept();
  script.socket.end(1006);
  clock.advance(125);
  expect([tokens.calls.length, script.sockets.length]).toEqual([2, 1]);
  tokens.call.returns("second");
  accept();
  expect(opened()).toEqual(["first", "second"]);
  expect(states.map(({ code }) => code)).toEqual(["connect", "connected", "lost", "connected"]);
});

test("a getToken that is no promise will do", () => {
  let calls = 0;
  const { connect, client, opened } = harnessOf({ getToken: () => `token-${++calls}` });
  connect();
  expect([client.status, calls, opened()]).toEqual(["connected", 1, ["token-1"]]);
});

test("one that is a promise of the host's own will do too", async () => {
  const { client, accept, opened } = harnessOf({ getToken: async () => "later" });
  const connected = client.connect();
  await Promise.resolve();
  accept();
  await connected;
  expect(opened()).toEqual(["later"]);
});

test("[AUTH-3] at token_expiring a fresh token is asked for and offered: the connection stays, nobody is told", () => {
  const { client, script, tokens, states, errors, settle, offered } = harnessOf();
  settle();
  script.socket.say(tokenExpiring());
  expect([tokens.calls.length, offered()]).toEqual([2, []]);
  tokens.call.returns("second");
  expect(offered()).toEqual(["second"]);
  script.socket.say(authenticated(script.socket.last("auth").id));
  expect([client.status, script.sockets.length, tokens.calls.length]).toEqual(["connected", 1, 2]);
  expect(errors).toEqual([]);
  expect(states.map(({ status }) => status)).toEqual(["connecting", "connected"]);
});

test("[AUTH-3] hour after hour on one connection", () => {
  const { client, script, clock, tokens, settle, offered } = harnessOf();
  settle("0");
  for (let hour = 1; hour <= 24; hour++) {
    clock.advance(3_600_000 - 60_000);
    script.socket.say(tokenExpiring());
    tokens.call.returns(String(hour));
    script.socket.say(authenticated(script.socket.last("auth").id));
  }
  expect(offered()).toEqual(Array.from({ length: 24 }, (_, i) => String(i + 1)));
  expect([client.status, script.sockets.length, client.stats.connections]).toEqual(["connected", 1, 1]);
});

test("[AUTH-3] a warning is no refusal, even as the broker's first word", () => {
  const { client, script, clock, tokens, states, errors } = harnessOf();
  void client.connect();
  tokens.call.returns("short");
  script.socket.open();
  script.socket.say(tokenExpiring());
  expect(client.status).toBe("connected");
  clock.advance(125);
  tokens.call.returns("second");
  expect(script.socket.last("auth")).toMatchObject({ token: "second" });
  script.socket.end(1006);
  expect(states.at(-1)).not.toHaveProperty("error");
  expect(errors).toEqual([]);
});

test("while a call is under way no other is made, however often the broker warns", () => {
  const { script, tokens, settle, offered } = harnessOf();
  settle();
  script.socket.say(tokenExpiring(), tokenExpiring(), tokenExpiring());
  expect(tokens.pending.length).toBe(1);
  tokens.call.returns("second");
  expect([tokens.calls.length, offered()]).toEqual([2, ["second"]]);
});

test("getToken slower than the expiry: what it returns opens the next connection, and is offered on none", () => {
  const { client, script, clock, tokens, accept, settle, offered, opened } = harnessOf();
  settle();
  script.socket.say(tokenExpiring());
  script.socket.end(4401, "the session token has expired");
  clock.advance(125);
  expect([tokens.calls.length, script.sockets.length]).toEqual([2, 1]);
  tokens.call.returns("second");
  accept();
  expect([client.status, tokens.calls.length]).toEqual(["connected", 2]);
  expect([opened(), offered()]).toEqual([["first", "second"], []]);
});

test("a result that comes while nobody waits is not kept for later: the next attempt asks anew", () => {
  const { script, clock, tokens, settle, offered, opened } = harnessOf();
  settle();
  script.socket.say(tokenExpiring());
  script.socket.end(1006);
  tokens.call.returns("in between");
  // A machine that slept here would wake with an old token.
  clock.advance(125);
  expect(tokens.calls).toHaveLength(3);
  tokens.call.returns("newest");
  expect([opened(), offered()]).toEqual([["first", "newest"], []]);
});

test("what a call returns after it was given up on is used nowhere, whichever call comes first", () => {
  const { script, clock, tokens, accept, opened, offered, client } = harnessOf({ tokenTimeoutMs: 1_000 });
  void client.connect();
  const late = tokens.call;
  clock.advance(1_000 + 125);
  expect(tokens.calls).toHaveLength(2);
  late.returns("late");
  expect(script.sockets).toHaveLength(0);
  tokens.call.returns("newest");
  accept();
  expect([opened(), offered()]).toEqual([["newest"], []]);
});

test("a late refresh is not sent to a later connection", () => {
  const { script, clock, tokens, accept, settle, opened, offered } = harnessOf({ tokenTimeoutMs: 1_000 });
  settle();
  script.socket.say(tokenExpiring());
  const late = tokens.call;
  clock.advance(1_000);
  script.socket.end(4401);
  clock.advance(125);
  tokens.call.returns("second");
  accept();
  late.returns("late");
  expect([opened(), offered()]).toEqual([["first", "second"], []]);
});

test("a getToken that throws, rejects, takes too long or returns no token is an attempt that failed, until it recovers", () => {
  const { client, script, clock, tokens, states, errors, accept } = harnessOf({ random: () => 1, tokenTimeoutMs: 700 });
  void client.connect();
  const cause = new Error("the identity provider is down");
  tokens.call.throws(cause);
  clock.advance(250);
  clock.advance(700);
  clock.advance(500);
  tokens.call.returns(undefined);
  clock.advance(1_000);
  tokens.call.returns("a b");
  clock.advance(2_000);
  expect(script.sockets).toHaveLength(0);
  expect(states.slice(1)).toMatchObject(
    [250, 500, 1_000, 2_000].map((retryInMs) => ({ status: "connecting", code: "token_failed", retryInMs })),
  );
  expect(errors.map(({ code }) => code)).toEqual(Array(4).fill("token_failed"));
  expect(errors[0]?.cause).toBe(cause);
  expect(errors[1]?.message).toBe("getToken took longer than 700 ms");
  expect(errors[2]?.message).toMatch(/returned no token/);
  tokens.call.returns("good");
  accept();
  expect(client.status).toBe("connected");
});

test("one that throws instead of returning a promise is no different", () => {
  let calls = 0;
  const getToken = (): string => {
    if (++calls === 1) throw new Error("boom");
    return "good";
  };
  const { client, clock, errors, accept } = harnessOf({ getToken });
  void client.connect();
  clock.advance(125);
  accept();
  expect([client.status, errors.length, errors[0]?.code]).toEqual(["connected", 1, "token_failed"]);
});

test("a refresh that fails is tried again with backoff for as long as the connection lasts, which stays", () => {
  const { client, script, clock, tokens, errors, settle, offered } = harnessOf({ random: () => 1 });
  settle();
  script.socket.say(tokenExpiring());
  for (const delayMs of [250, 500, 1_000]) {
    const { length } = tokens.calls;
    tokens.call.throws(new Error("down"));
    clock.advance(delayMs - 1);
    expect(tokens.calls).toHaveLength(length);
    clock.advance(1);
    expect(tokens.calls).toHaveLength(length + 1);
  }
  expect(client.status).toBe("connected");
  expect(errors.map(({ code }) => code)).toEqual(Array(3).fill("token_failed"));
  tokens.call.returns("second");
  script.socket.say(authenticated(script.socket.last("auth").id));
  expect([offered(), script.sockets.length]).toEqual([["second"], 1]);
});

test("[AUTH-2] an expired token offered as a refresh: told, asked for again after a wait, the connection stays", () => {
  const { client, script, clock, tokens, errors, settle, offered } = harnessOf({ random: () => 1 });
  settle();
  script.socket.say(tokenExpiring());
  for (const [i, delayMs] of [250, 500, 1_000].entries()) {
    tokens.call.returns(`expired-${i}`);
    script.socket.say(error("token_expired", true, { id: script.socket.last("auth").id }));
    expect(tokens.calls).toHaveLength(2 + i);
    clock.advance(delayMs - 1);
    expect(tokens.calls).toHaveLength(2 + i);
    clock.advance(1);
  }
  expect(offered()).toEqual(["expired-0", "expired-1", "expired-2"]);
  expect(errors).toMatchObject(Array(3).fill({ code: "token_failed", detail: { code: "token_expired" } }));
  expect([client.status, script.sockets.length]).toEqual(["connected", 1]);
});

test("tokens that are in their last minute from the start do not make a loop", () => {
  const { client, script, clock, tokens, settle } = harnessOf({ random: () => 1 });
  settle();
  script.socket.say(tokenExpiring());
  for (const delayMs of [250, 500, 1_000, 2_000]) {
    const { length } = tokens.calls;
    tokens.call.returns("short");
    script.socket.say(authenticated(script.socket.last("auth").id), tokenExpiring());
    clock.advance(delayMs - 1);
    expect(tokens.calls).toHaveLength(length);
    clock.advance(1);
    expect(tokens.calls).toHaveLength(length + 1);
  }
  expect(client.status).toBe("connected");
});

test("a broker that warns of the new token before it says that it took it is understood", () => {
  const { script, clock, tokens, settle, offered } = harnessOf();
  settle();
  script.socket.say(tokenExpiring());
  tokens.call.returns("second");
  script.socket.say(tokenExpiring(), authenticated(script.socket.last("auth").id));
  clock.advance(125);
  tokens.call.returns("third");
  expect(offered()).toEqual(["second", "third"]);
});

test("4401 that follows on each connection at once is not met at full speed; a token that lasted starts anew", () => {
  const { script, clock, tokens, states, accept, client } = harnessOf({ random: () => 1 });
  void client.connect();
  for (const delayMs of [250, 500, 1_000]) {
    tokens.call.returns("short");
    accept();
    script.socket.end(4401);
    expect(states.at(-1)).toMatchObject({ status: "connecting", closeCode: 4401, retryInMs: delayMs });
    clock.advance(delayMs);
  }
  tokens.call.returns("good");
  accept();
  clock.advance(SETTLED_MS);
  script.socket.end(4401);
  expect(states.at(-1)).toMatchObject({ retryInMs: 250 });
});

test("a token that has expired already when it is presented: asked for anew, at growing distances", () => {
  const { client, script, clock, tokens, states } = harnessOf({ random: () => 1 });
  void client.connect();
  for (const [i, delayMs] of [250, 500, 1_000].entries()) {
    tokens.call.returns("expired");
    script.socket.open();
    script.socket.say(error("token_expired", true));
    script.socket.end(4401, "the session token has expired: fetch a fresh one");
    expect(states.at(-1)).toMatchObject({ code: "lost", retryInMs: delayMs, error: { code: "token_expired" } });
    clock.advance(delayMs);
    expect(tokens.calls).toHaveLength(i + 2);
  }
  expect(client.status).toBe("connecting");
});

test("[CLOSE-1] 4503 ends it: nothing is asked for any more", () => {
  const { client, script, clock, tokens, settle } = harnessOf();
  settle();
  script.socket.say(tokenExpiring());
  script.socket.end(4503, "these credentials were revoked");
  expect([client.status, clock.pending]).toEqual(["failed", 0]);
  tokens.call.returns("too late");
  expect([client.status, script.sockets.length, clock.pending, tokens.calls.length]).toEqual(["failed", 1, 0, 2]);
});

test("[RESUME-1] after 4401 the channels go on behind what was handed over", () => {
  const { client, script, clock, tokens, accept, settle, live, states, errors } = harnessOf();
  const handed: string[] = [];
  client.subscribe(C, (one) => void handed.push(one.eventId));
  settle();
  live(C);
  script.socket.say(event(C, at(1)), tokenExpiring(), event(C, at(2)), error("token_expired", true));
  script.socket.end(4401, "the credentials have expired");
  expect(states.at(-1)).toMatchObject({ code: "lost", closeCode: 4401, error: { code: "token_expired" } });
  expect(errors).toEqual([]);
  clock.advance(125);
  tokens.call.returns("second");
  accept();
  expect(script.socket.last("subscribe")).toMatchObject({ lastEventId: at(2) });
  live(C);
  script.socket.say(event(C, at(3)));
  expect(handed).toEqual([at(1), at(2), at(3)]);
  expect(client.stats).toMatchObject({ connections: 2, gaps: 0 });
});

/** Eight hours, milliseconds. */
const NIGHT = 8 * 3_600_000;

test("wake from sleep with an expired token: it is not offered again, the channels go on", () => {
  const { client, script, clock, tokens, states, accept, settle, opened } = harnessOf({ pingIntervalMs: 15_000 });
  client.subscribe(C, () => {});
  settle();
  clock.sleep(NIGHT);
  // The connection died in its sleep, which shows when the ping that was overdue gets no answer.
  clock.advance(10_000 + 125);
  expect(states.at(-1)).toMatchObject({ status: "connecting", code: "timeout" });
  expect([tokens.pending.length, script.sockets.length]).toEqual([1, 1]);
  tokens.call.returns("fresh");
  accept();
  expect([client.status, opened(), script.socket.count("subscribe")]).toEqual(["connected", ["first", "fresh"], 1]);
});

test.each(["waiting for an attempt", "between the token and the answer"])(
  "sleep while %s: the next one asks",
  (when) => {
    const { script, clock, tokens, accept, settle, opened } = harnessOf();
    settle();
    script.socket.end(1006);
    if (when !== "waiting for an attempt") {
      clock.advance(125);
      tokens.call.returns("evening");
    }
    clock.sleep(NIGHT);
    clock.advance(250);
    expect(tokens.pending.length).toBe(1);
    tokens.call.returns("morning");
    accept();
    expect(opened().at(-1)).toBe("morning");
  },
);

test("sleep while a token is renewed: what was fetched the evening before is not offered in the morning", () => {
  const { script, clock, tokens, settle, offered, errors } = harnessOf({ tokenTimeoutMs: 1_000 });
  settle();
  script.socket.say(tokenExpiring());
  const evening = tokens.call;
  clock.sleep(NIGHT);
  evening.returns("evening");
  expect(errors.map(({ code }) => code)).toEqual(["token_failed"]);
  clock.advance(125);
  tokens.call.returns("morning");
  expect(offered()).toEqual(["morning"]);
});

test.each([
  ["before the first connection", false],
  ["while the token is renewed", true],
])("close() %s leaves nothing behind, and what getToken returns then goes nowhere", async (_what, open) => {
  const { client, script, clock, tokens, errors, settle } = harnessOf();
  if (open) {
    settle();
    script.socket.say(tokenExpiring());
  }
  const connected = client.connect();
  connected.catch(() => {});
  const { length } = script.sockets;
  expect(tokens.pending.length).toBe(1);
  client.close();
  expect([clock.pending, script.sockets.length]).toEqual([0, length]);
  tokens.call.returns("too late");
  expect([clock.pending, script.sockets.length, client.status, tokens.calls.length]).toEqual([
    0,
    length,
    "closed",
    open ? 2 : 1,
  ]);
  expect(script.sockets.flatMap(({ sent }) => sent.filter(({ type }) => type === "auth"))).toEqual([]);
  expect(errors).toEqual([]);
  if (!open) await expect(connected).rejects.toMatchObject({ code: "closed" });
});

test("the same for a call that is rejected after close(): told to nobody, unhandled by nobody", async () => {
  const calls: ((cause: Error) => void)[] = [];
  const getToken = () => new Promise<string>((_resolve, reject) => calls.push(reject));
  const { client, clock, errors } = harnessOf({ getToken });
  void client.connect();
  client.close();
  calls[0]?.(new Error("too late"));
  // An unhandled rejection would fail the run.
  await new Promise((resolve) => setImmediate(resolve));
  expect([calls.length, errors, clock.pending]).toEqual([1, [], 0]);
});

test("unsubscribed while getToken is pending: the channel is never asked for", () => {
  const { client, script, tokens, accept } = harnessOf();
  const handle = client.subscribe(C, () => {});
  void client.connect();
  handle.unsubscribe();
  tokens.call.returns("first");
  accept();
  expect(script.socket.count("subscribe")).toBe(0);
});

test("a listener that closes the client at connect(): getToken is not called for nobody", () => {
  const { client, script, clock, tokens } = harnessOf();
  client.on("state", () => client.close());
  void client.connect();
  expect([tokens.calls.length, script.sockets.length, clock.pending]).toEqual([0, 0, 0]);
});

test("getToken may call anything, close() too", () => {
  const made: { client?: Harness["client"] } = {};
  const harness = harnessOf({
    getToken: () => {
      made.client?.subscribe(C, () => {});
      made.client?.close();
      return "first";
    },
  });
  made.client = harness.client;
  void harness.client.connect();
  expect([harness.client.status, harness.script.sockets.length, harness.clock.pending]).toEqual(["closed", 0, 0]);
});

test("a token is in no event and no error, whatever goes wrong", () => {
  const { client, script, clock, tokens, states, statuses, errors, settle } = harnessOf();
  client.subscribe(C, () => {});
  settle("s3cr3t-1");
  script.socket.say(tokenExpiring());
  tokens.call.returns("s3cr3t-2");
  script.socket.say(error("forbidden", false, { id: script.socket.last("auth").id }));
  clock.advance(125);
  tokens.call.returns("s3cr3t 3");
  script.socket.end(4401, "expired");
  clock.runNext();
  tokens.call.returns({ token: "s3cr3t-4" });
  clock.runNext();
  tokens.call.returns("s3cr3t-5");
  script.socket.end(4503, "revoked");
  expect(errors.map(({ code }) => code)).toEqual(["token_failed", "token_failed", "token_failed", "refused"]);
  expect(inspect([states, statuses, errors, client], { depth: 9 })).not.toContain("s3cr3t");
});

test("[AUTH-3] a fixed token that has expired ends the client with a line that says what to do", async () => {
  const { client, script, clock, errors } = createHarness({ apiKey: undefined, token: "fixed" });
  const connected = client.connect();
  script.socket.open();
  script.socket.say(error("token_expired", true));
  script.socket.end(4401, "the session token has expired: fetch a fresh one");
  const refusal = { code: "refused", closeCode: 4401, message: "the token has expired: use getToken" };
  await expect(connected).rejects.toMatchObject(refusal);
  expect([client.status, clock.pending, script.sockets.length]).toEqual(["failed", 0, 1]);
  expect(errors).toMatchObject([refusal]);
});

test("[AUTH-3] with fixed credentials the application is told of the warning, and the connection lasts as long as they do", () => {
  const { client, script, connect, errors } = createHarness({ apiKey: undefined, token: "fixed" });
  connect();
  script.socket.say(tokenExpiring());
  expect(errors).toMatchObject([{ code: "server_error", detail: { code: "token_expiring", retryable: true } }]);
  expect([client.status, script.socket.count("auth")]).toEqual(["connected", 0]);
  script.socket.end(4401);
  expect(client.status).toBe("failed");
});
