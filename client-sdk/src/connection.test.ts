import { expect, test } from "vitest";
import { createClient } from "./client.ts";
import type { ConnectionChange } from "./connection-change.ts";
import { RealtimeError } from "./errors.ts";
import { settingsOf } from "./options.ts";
import { createFakeClock } from "./testing/fake-clock.ts";
import { createHarness, KEY } from "./testing/harness.ts";
import { at, error, event, pong, reconnect } from "./testing/messages.ts";

const C = "team:t1";

test("the states come in order, each with its code and reason", () => {
  const { client, states, script, clock, connect, accept } = createHarness();
  connect();
  script.socket.end(1006);
  clock.advance(125);
  accept();
  client.close();
  expect(states).toEqual([
    { status: "connecting", previous: "disconnected", code: "connect", reason: "connect() was called" },
    { status: "connected", previous: "connecting", code: "connected", reason: "the broker answered" },
    {
      status: "connecting",
      previous: "connected",
      code: "lost",
      reason: "the connection was closed (1006)",
      closeCode: 1006,
      retryInMs: 125,
    },
    { status: "connected", previous: "connecting", code: "connected", reason: "the broker answered" },
    { status: "closed", previous: "connected", code: "close", reason: "close() was called" },
  ]);
  expect(client.stats.connections).toBe(2);
});

test("an open socket is not a connection yet: only the broker's first answer is ([CONNECT-4])", async () => {
  const { client, script } = createHarness();
  const connected = client.connect();
  script.socket.open();
  expect(client.status).toBe("connecting");
  script.socket.say(pong("0-0-0000", script.socket.last("ping").id));
  expect(client.status).toBe("connected");
  await connected;
});

test("connect() twice is one connection, and both promises resolve", async () => {
  const { client, script, accept } = createHarness();
  const both = [client.connect(), client.connect()];
  accept();
  await Promise.all(both);
  await client.connect();
  expect(script.sockets).toHaveLength(1);
});

test("[CONNECT-4] [CLOSE-1] a refusal for good: connect() rejects with what the broker said, nothing is tried again", async () => {
  const { client, script, clock, states, errors } = createHarness();
  const connected = client.connect();
  script.socket.open();
  script.socket.say(error("unauthenticated", false));
  script.socket.end(4501, "no such key");
  await expect(connected).rejects.toMatchObject({
    code: "refused",
    closeCode: 4501,
    detail: { code: "unauthenticated" },
  });
  expect(states.at(-1)).toMatchObject({
    status: "failed",
    code: "refused",
    closeCode: 4501,
    reason: "no such key",
    error: { code: "unauthenticated" },
  });
  expect(errors.map((one) => one.code)).toEqual(["refused"]);
  expect(clock.pending).toBe(0);
  expect(script.sockets).toHaveLength(1);
});

test("after a refusal the application may ask again", async () => {
  const { client, script, accept } = createHarness();
  void client.connect();
  script.socket.end(4503, "revoked");
  const again = client.connect();
  accept();
  await again;
  expect(client.status).toBe("connected");
});

test.each([4500, 4501, 4503, 4504, 4999])("[CLOSE-1] %i is final", (code) => {
  const { client, script, clock, connect } = createHarness();
  connect();
  script.socket.end(code);
  expect(client.status).toBe("failed");
  expect(clock.pending).toBe(0);
});

test.each([1000, 1001, 1005, 1006, 1009, 1011, 4000, 4401, 4408, 4409, 4429, 4450, 4499])(
  "[CLOSE-1] after %i it connects again, with backoff",
  (code) => {
    const { client, script, clock, connect, states } = createHarness();
    connect();
    script.socket.end(code);
    expect(client.status).toBe("connecting");
    expect(states.at(-1)).toMatchObject({ closeCode: code, retryInMs: 125 });
    clock.advance(124);
    expect(script.sockets).toHaveLength(1);
    clock.advance(1);
    expect(script.sockets).toHaveLength(2);
  },
);

test("a broker that cannot be reached is tried at growing distances; one good connection starts anew", () => {
  const { client, script, clock, states, accept } = createHarness({ random: () => 1 });
  void client.connect();
  const delays: (number | undefined)[] = [];
  for (let i = 0; i < 7; i++) {
    script.socket.end(1006);
    delays.push(states.at(-1)?.retryInMs);
    clock.runNext();
  }
  expect(delays).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000]);
  accept();
  script.socket.end(1006);
  expect(states.at(-1)?.retryInMs).toBe(250);
});

test("[COMMAND-5] a client that was closed for its own errors does not come back faster for having been connected", () => {
  const { script, clock, states, connect, accept } = createHarness({ random: () => 1 });
  connect();
  const delays: (number | undefined)[] = [];
  for (let i = 0; i < 3; i++) {
    script.socket.end(4429);
    delays.push(states.at(-1)?.retryInMs);
    clock.runNext();
    accept();
  }
  expect(delays).toEqual([250, 500, 1_000]);
});

test("[CLOSE-3] reconnect names the slot that is waited out after the close", () => {
  const { script, clock, states, connect } = createHarness();
  connect();
  script.socket.say(reconnect(3_000));
  clock.advance(5_000);
  expect(script.sockets).toHaveLength(1);
  script.socket.end(4412, "the broker is restarting");
  expect(states.at(-1)).toMatchObject({ status: "connecting", closeCode: 4412, retryInMs: 3_000 });
  clock.advance(2_999);
  expect(script.sockets).toHaveLength(1);
  clock.advance(1);
  expect(script.sockets).toHaveLength(2);
});

test("a connection that nobody answers is given up after connectTimeoutMs", () => {
  const { script, clock, states, client } = createHarness({ connectTimeoutMs: 4_000, timeoutMs: 60_000 });
  void client.connect();
  clock.advance(4_000);
  expect(states.at(-1)).toMatchObject({ code: "connect_timeout", retryInMs: 125 });
  expect(script.socket.gone).toBe("drop");
  clock.advance(125);
  script.socket.open();
  clock.advance(4_000);
  expect(states.at(-1)).toMatchObject({ code: "connect_timeout" });
  expect(script.socket.gone).toBe("drop");
});

test("pings go out regularly; as long as anything at all is heard, the connection stays", () => {
  const { script, clock, connect, client } = createHarness({ pingIntervalMs: 1_000, timeoutMs: 500 });
  connect();
  for (let i = 0; i < 10; i++) {
    clock.advance(1_000);
    script.socket.say(event("team:nobody", at(i + 1)));
  }
  expect(script.socket.count("ping")).toBe(11);
  expect(client.status).toBe("connected");
  expect(script.sockets).toHaveLength(1);
});

test("a connection on which nothing is heard for timeoutMs after a ping is dropped and made anew", () => {
  const { script, clock, connect, states } = createHarness({ pingIntervalMs: 1_000, timeoutMs: 500 });
  connect();
  clock.advance(1_499);
  expect(script.socket.gone).toBeUndefined();
  clock.advance(1);
  expect(script.socket.gone).toBe("drop");
  expect(states.at(-1)).toMatchObject({ status: "connecting", code: "timeout", reason: "nothing heard for 500 ms" });
  clock.advance(125);
  expect(script.sockets).toHaveLength(2);
});

test.each<[string, unknown]>([
  ["a line that is no JSON", "{oops"],
  ["a binary frame", new Uint8Array(3)],
])("%s ends the connection, is reported, and does not repeat at full speed", (_what, frame) => {
  const { script, clock, connect, accept, states, errors } = createHarness({ random: () => 1 });
  connect();
  script.socket.frame(frame);
  expect(script.socket.gone).toBe("drop");
  expect(states.at(-1)).toMatchObject({ status: "connecting", code: "protocol_error", retryInMs: 250 });
  clock.advance(250);
  accept();
  script.socket.frame(frame);
  expect(states.at(-1)).toMatchObject({ code: "protocol_error", retryInMs: 500 });
  expect(errors.map((one) => one.code)).toEqual(["protocol_error", "protocol_error"]);
});

test("what stands before a malformed line in its frame is handed over, what stands behind it is not", () => {
  const { client, script, connect, live } = createHarness();
  const handed: string[] = [];
  client.subscribe(C, (one) => void handed.push(one.eventId));
  connect();
  live(C);
  script.socket.frame(
    [JSON.stringify(event(C, at(1))), JSON.stringify(event(C, at(2))), "oops", JSON.stringify(event(C, at(3)))].join(
      "\n",
    ),
  );
  expect(handed).toEqual([at(1), at(2)]);
  expect(client.position(C)).toBe(at(2));
});

test("[CONNECT-3] a broker that chooses kata.v1 sends one envelope a frame", () => {
  const { client, script } = createHarness();
  void client.connect();
  script.socket.open("kata.v1");
  script.socket.frame(JSON.stringify(pong("0-0-0000", 1), null, 2));
  expect(client.status).toBe("connected");
});

test("close() says goodbye, cancels every timer and is final; the second time it does nothing", async () => {
  const { client, script, clock, connect, states } = createHarness();
  connect();
  client.close();
  client.close();
  expect(script.socket.gone).toBe("close");
  expect(clock.pending).toBe(0);
  expect(states.filter(({ status }) => status === "closed")).toHaveLength(1);
  await expect(client.connect()).rejects.toMatchObject({ code: "closed" });
  expect(() => client.subscribe(C, () => {})).toThrow(RealtimeError);
  expect(script.sockets).toHaveLength(1);
});

test.each(["before it was answered", "while waiting"])("close() %s: connect() rejects, nothing stays", async (when) => {
  const { client, script, clock } = createHarness();
  const connected = client.connect();
  if (when === "while waiting") script.socket.end(1006);
  client.close();
  await expect(connected).rejects.toMatchObject({ code: "closed" });
  expect(clock.pending).toBe(0);
});

test("a promise of connect() that nobody awaits goes nowhere unhandled", async () => {
  const { client } = createHarness();
  void client.connect();
  client.close();
  // An unhandled rejection would fail the run.
  await new Promise((resolve) => setImmediate(resolve));
});

test("a host that throws at opening is tried again, and what it said is not repeated", () => {
  const clock = createFakeClock();
  let attempts = 0;
  const client = createClient(settingsOf({ url: "ws://broker.test", apiKey: KEY }), {
    clock,
    random: () => 0.5,
    openSocket: (_url, protocols) => {
      attempts++;
      throw new SyntaxError(`the subprotocol ${protocols.join()} is invalid`);
    },
  });
  const states: ConnectionChange[] = [];
  client.on("state", (change) => states.push(change));
  void client.connect();
  clock.runNext();
  expect(attempts).toBe(2);
  expect(states.map(({ code }) => code)).toEqual(["connect", "lost", "lost"]);
  expect(JSON.stringify(states)).not.toContain(KEY);
});

test("an error of the broker that belongs to no subscription is reported", () => {
  const { script, errors, connect } = createHarness();
  connect();
  script.socket.say(error("too_many_errors", true));
  expect(errors).toMatchObject([{ code: "server_error", detail: { code: "too_many_errors" } }]);
});

test("credentials appear as a subprotocol and nowhere else", () => {
  const { client, script, clock, states, statuses, errors, connect } = createHarness();
  client.subscribe(C, () => {});
  connect();
  expect(script.socket.protocols).toContain(`bearer.${KEY}`);
  expect(script.socket.url).not.toContain(KEY);
  script.socket.frame("oops");
  clock.runNext();
  script.socket.end(4501, "no");
  const told = JSON.stringify([
    states,
    statuses,
    errors,
    errors.map((one) => `${one.stack}`),
    script.sockets.map((s) => s.sent),
  ]);
  expect(told).not.toContain(KEY);
});
