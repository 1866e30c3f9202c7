import { expect, test } from "vitest";
import { createHarness } from "./testing/harness.ts";
import { at, error, event, unsubscribed } from "./testing/messages.ts";

const C = "spec:s1";

test("the statuses of a subscription come in order, each with its code", () => {
  const { client, script, clock, statuses, connect, accept, live } = createHarness();
  client.subscribe(C, () => {});
  connect();
  live(C);
  script.socket.end(1006);
  clock.runNext();
  accept();
  live(C);
  client.unsubscribe(C);
  expect(statuses.map(({ previous, status, code }) => `${previous} → ${status}: ${code}`)).toEqual([
    "unsubscribed → subscribing: subscribe",
    "subscribing → subscribed: subscribed",
    "subscribed → caught_up: caught_up",
    "caught_up → subscribing: disconnected",
    "subscribing → subscribed: subscribed",
    "subscribed → caught_up: caught_up",
    "caught_up → unsubscribed: unsubscribe",
  ]);
});

test("[UNSUBSCRIBE-1] leaving and coming back at once: what is in flight of the first subscription reaches nobody", () => {
  const { client, script, connect, live, grant } = createHarness();
  const first: string[] = [];
  const second: string[] = [];
  client.subscribe(C, (one) => void first.push(one.eventId));
  connect();
  live(C);
  client.unsubscribe(C);
  client.subscribe(C, (one) => void second.push(one.eventId), { lastEventId: at(2) });
  // Asked for again only once the broker has confirmed the leaving.
  expect(script.socket.sent.map(({ type }) => type)).toEqual(["ping", "subscribe", "unsubscribe"]);
  script.socket.say(event(C, at(5)), unsubscribed(C, at(5), script.socket.last("unsubscribe").id));
  expect(script.socket.last("subscribe")).toMatchObject({ lastEventId: at(2) });
  script.socket.say(event(C, at(6)));
  grant(C);
  script.socket.say(event(C, at(3)), event(C, at(5)), event(C, at(6)));
  expect(first).toEqual([]);
  expect(second).toEqual([at(3), at(5), at(6)]);
});

test("leaving before the answer: the late answer, good or bad, means nothing", () => {
  for (const answer of ["subscribed", "error"]) {
    const { client, script, connect, grant, errors } = createHarness();
    client.subscribe(C, () => {});
    connect();
    const asked = script.socket.last("subscribe").id;
    client.unsubscribe(C);
    client.subscribe(C, () => {}, { lastEventId: at(2) });
    if (answer === "subscribed") grant(C);
    else script.socket.say(error("forbidden", false, { id: asked, channel: C }));
    script.socket.say(error("not_subscribed", false, { id: script.socket.last("unsubscribe").id, channel: C }));
    expect(script.socket.last("subscribe")).toMatchObject({ lastEventId: at(2) });
    grant(C);
    expect(client.position(C)).toBe(at(2));
    expect(errors).toEqual([]);
  }
});

test("leaving while offline needs no command, and the channel is not asked for again", () => {
  const { client, script, connect, accept, live, clock } = createHarness();
  client.subscribe(C, () => {});
  connect();
  live(C);
  script.socket.end(1006);
  client.unsubscribe(C);
  clock.runNext();
  accept();
  expect(script.socket.sent.map(({ type }) => type)).toEqual(["ping"]);
  expect(client.position(C)).toBeUndefined();
});

test("[ERROR-2] a refusal that may pass is asked again with backoff, on the same connection", () => {
  const { client, script, connect, clock, statuses, errors, live } = createHarness({ random: () => 1 });
  client.subscribe(C, () => {});
  connect();
  for (const expected of [250, 500, 1_000]) {
    script.socket.say(error("unavailable", true, { id: script.socket.last("subscribe").id, channel: C }));
    expect(statuses.at(-1)).toMatchObject({ status: "subscribing", code: "retry", retryInMs: expected });
    expect(statuses.at(-1)?.error).toMatchObject({ code: "unavailable" });
    const before = script.socket.count("subscribe");
    clock.advance(expected - 1);
    expect(script.socket.count("subscribe")).toBe(before);
    clock.advance(1);
    expect(script.socket.count("subscribe")).toBe(before + 1);
  }
  live(C);
  expect(client.stats.connections).toBe(1);
  expect(errors).toEqual([]);
});

test.each(["forbidden", "invalid_channel", "subscription_limit", "already_subscribed", "a_code_of_the_future"])(
  "[SUBSCRIBE-3] [SUBSCRIBE-6] %s ends that subscription and is reported; others go on",
  (code) => {
    const { client, script, connect, accept, clock, statuses, errors, live } = createHarness();
    const others: string[] = [];
    const handle = client.subscribe(C, () => {});
    client.subscribe("team:t1", (one) => void others.push(one.eventId));
    connect();
    script.socket.say(error(code, false, { id: script.socket.last("subscribe", C).id, channel: C }));
    expect(handle.status).toBe("failed");
    expect(statuses.at(-1)).toMatchObject({ channel: C, status: "failed", code: "refused", error: { code } });
    expect(errors).toMatchObject([{ code: "subscription_failed", channel: C, detail: { code } }]);
    live("team:t1");
    script.socket.say(event("team:t1", at(1)));
    expect(others).toEqual([at(1)]);
    script.socket.end(1006);
    clock.runNext();
    accept();
    expect(script.socket.count("subscribe")).toBe(1);
  },
);

test("a channel that failed may be subscribed again", () => {
  const { client, script, connect, live } = createHarness();
  const handler = () => {};
  const first = client.subscribe(C, handler);
  connect();
  script.socket.say(error("forbidden", false, { id: script.socket.last("subscribe").id }));
  const second = client.subscribe(C, handler);
  live(C);
  expect([first.status, second.status]).toEqual(["failed", "caught_up"]);
});

test("[ERROR-3] an error that names the channel without an id ends what the broker held: asked again, from the position", () => {
  const { client, script, connect, clock, live, statuses } = createHarness();
  client.subscribe(C, () => {});
  connect();
  live(C);
  script.socket.say(event(C, at(7)), error("internal", true, { channel: C }));
  expect(statuses.at(-1)).toMatchObject({ status: "subscribing", code: "retry", retryInMs: 125 });
  clock.advance(125);
  expect(script.socket.last("subscribe")).toMatchObject({ lastEventId: at(7) });
  script.socket.say(error("internal", true, { channel: C }));
  clock.advance(500);
  expect(script.socket.count("subscribe")).toBe(3);
});

test("unsubscribed without being asked: it comes back, from the position, not at once", () => {
  const { client, script, connect, clock, live, statuses } = createHarness();
  client.subscribe(C, () => {});
  connect();
  live(C);
  script.socket.say(event(C, at(7)), unsubscribed(C, at(7)));
  expect(statuses.at(-1)).toMatchObject({ status: "subscribing", code: "ended", retryInMs: 125 });
  clock.advance(125);
  expect(script.socket.last("subscribe")).toMatchObject({ lastEventId: at(7) });
});

test("however often a channel is ended while it waits, it is asked for once", () => {
  const { client, script, connect, clock, live } = createHarness();
  client.subscribe(C, () => {});
  connect();
  live(C);
  script.socket.say(unsubscribed(C, at(7)), unsubscribed(C, at(7)), error("internal", true, { channel: C }));
  clock.advance(10_000);
  expect(script.socket.count("subscribe")).toBe(2);
});

test("a subscription that breaks whenever it replays is asked for less and less often", () => {
  const { client, script, connect, clock, grant, statuses } = createHarness({ random: () => 1 });
  client.subscribe(C, () => {});
  connect();
  const delays: (number | undefined)[] = [];
  for (let i = 0; i < 4; i++) {
    grant(C);
    script.socket.say(error("internal", true, { channel: C }));
    delays.push(statuses.at(-1)?.retryInMs);
    clock.advance(delays.at(-1) ?? 0);
  }
  expect(delays).toEqual([250, 500, 1_000, 2_000]);
});

test("leaving while waiting to ask again cancels it", () => {
  const { client, script, connect, clock } = createHarness();
  client.subscribe(C, () => {});
  connect();
  script.socket.say(error("unavailable", true, { id: script.socket.last("subscribe").id }));
  client.unsubscribe(C);
  clock.advance(10_000);
  expect(script.socket.count("subscribe")).toBe(1);
});

test("several handlers of a channel are one subscription; a later one joins where the channel stands", () => {
  const { client, script, connect, live } = createHarness();
  const first: string[] = [];
  const second: string[] = [];
  const one = client.subscribe(C, (each) => void first.push(each.eventId));
  connect();
  live(C);
  script.socket.say(event(C, at(1)));
  const two = client.subscribe(C, (each) => void second.push(each.eventId));
  script.socket.say(event(C, at(2)));
  one.unsubscribe();
  expect([one.status, two.status]).toEqual(["unsubscribed", "caught_up"]);
  script.socket.say(event(C, at(3)));
  expect([first, second]).toEqual([
    [at(1), at(2)],
    [at(2), at(3)],
  ]);
  expect(script.socket.sent.map(({ type }) => type)).toEqual(["ping", "subscribe"]);
  two.unsubscribe();
  two.unsubscribe();
  expect(script.socket.sent.map(({ type }) => type)).toEqual(["ping", "subscribe", "unsubscribe"]);
});

test("the same handler again is no second one", () => {
  const { client, script, connect, live } = createHarness();
  const handed: string[] = [];
  const handler = (each: { eventId: string }) => void handed.push(each.eventId);
  client.subscribe(C, handler);
  client.subscribe(C, handler);
  connect();
  live(C);
  script.socket.say(event(C, at(1)));
  expect(handed).toEqual([at(1)]);
  client.unsubscribe(C, handler);
  expect(script.socket.count("unsubscribe")).toBe(1);
});

test("unsubscribe() of one handler, of all, and of what is not there", () => {
  const { client, script, connect, live } = createHarness();
  const handed: string[] = [];
  const a = () => void handed.push("a");
  const b = () => void handed.push("b");
  client.subscribe(C, a);
  client.subscribe(C, b);
  connect();
  live(C);
  client.unsubscribe(C, () => {});
  client.unsubscribe("team:other");
  client.unsubscribe(C, a);
  script.socket.say(event(C, at(1)));
  client.subscribe(C, a);
  client.unsubscribe(C);
  script.socket.say(event(C, at(2)));
  expect(handed).toEqual(["b"]);
});

test("mistakes of the caller are TypeErrors and change nothing", () => {
  const { client, statuses } = createHarness();
  client.subscribe(C, () => {});
  expect(() => client.subscribe(C, () => {}, { lastEventId: at(1) })).toThrow(TypeError);
  expect(() => client.subscribe(C, () => {}, { rewind: "all" })).toThrow(TypeError);
  expect(() => client.subscribe("team:t", () => {}, { rewind: "all", lastEventId: at(1) })).toThrow(TypeError);
  expect(() => client.subscribe("", () => {})).toThrow(TypeError);
  expect(() => client.subscribe("team:t", "handler" as unknown as () => void)).toThrow(TypeError);
  expect(statuses).toHaveLength(1);
});

test("close() ends every subscription, without a command for each", () => {
  const { client, script, connect, live, statuses } = createHarness();
  const handle = client.subscribe(C, () => {});
  connect();
  live(C);
  client.close();
  expect(statuses.at(-1)).toMatchObject({ status: "unsubscribed", code: "close" });
  expect(handle.status).toBe("unsubscribed");
  expect(script.socket.count("unsubscribe")).toBe(0);
});
