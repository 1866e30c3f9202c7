import { expect, test } from "vitest";
import { createHarness, type Harness } from "./testing/harness.ts";
import { at, caughtUp, event, pong, subscribed, unsubscribed } from "./testing/messages.ts";

const C = "agent:a1";

function collect({ client }: Harness, channel = C, options = {}): string[] {
  const handed: string[] = [];
  client.on("gap", (gap) => gap.channel === channel && handed.push(`gap ${gap.reason}`));
  client.subscribe(channel, (one) => void handed.push(one.eventId), options);
  return handed;
}

function reconnect({ script, clock, accept }: Harness): void {
  script.socket.end(1006);
  clock.runNext();
  accept();
}

test("[SUBSCRIBE-2] without a start the subscription starts now", () => {
  const harness = createHarness();
  collect(harness);
  harness.connect();
  expect(harness.script.socket.last("subscribe")).toEqual({ type: "subscribe", channel: C, id: 2 });
});

test("subscribed before or after connect(), the command goes out as soon as the socket is open, after the first ping", () => {
  const harness = createHarness();
  collect(harness);
  harness.connect();
  collect(harness, "team:later");
  expect(harness.script.socket.sent.map((one) => ("channel" in one ? one.channel : one.type))).toEqual([
    "ping",
    C,
    "team:later",
  ]);
});

test("[RESUME-1] after a reconnect it goes on behind the last event that was handed over", () => {
  const harness = createHarness();
  const handed = collect(harness);
  harness.connect();
  harness.live(C);
  harness.script.socket.say(event(C, at(4)), event(C, at(4, 1)));
  reconnect(harness);
  expect(harness.script.socket.last("subscribe")).toMatchObject({ lastEventId: at(4, 1) });
  harness.live(C);
  harness.script.socket.say(event(C, at(4, 2)), event(C, at(9)));
  expect(handed).toEqual([at(4), at(4, 1), at(4, 2), at(9)]);
  expect(harness.client.stats).toEqual({ connections: 2, events: 4, repeats: 0, gaps: 0 });
});

test("[SUBSCRIBE-1] a quiet channel goes on from where subscribed said that it starts", () => {
  const harness = createHarness();
  collect(harness);
  harness.connect();
  harness.grant(C, at(77));
  reconnect(harness);
  expect(harness.script.socket.last("subscribe")).toMatchObject({ lastEventId: at(77) });
});

test("an application's own position is where it starts", () => {
  const harness = createHarness();
  collect(harness, C, { lastEventId: at(5) });
  expect(harness.client.position(C)).toBe(at(5));
  harness.connect();
  expect(harness.script.socket.last("subscribe")).toMatchObject({ lastEventId: at(5) });
});

test("[SUBSCRIBE-5] a rewind is asked for until it is answered, then the position counts, in the middle of the replay too", () => {
  const harness = createHarness();
  collect(harness, C, { rewind: { count: 10 } });
  harness.connect();
  expect(harness.script.socket.last("subscribe")).toMatchObject({ rewind: { count: 10 } });
  reconnect(harness);
  expect(harness.script.socket.last("subscribe")).toMatchObject({ rewind: { count: 10 } });
  harness.grant(C, at(90));
  harness.script.socket.say(event(C, at(91)), event(C, at(92)));
  reconnect(harness);
  const { rewind, lastEventId } = {
    rewind: undefined,
    lastEventId: undefined,
    ...harness.script.socket.last("subscribe"),
  };
  expect([rewind, lastEventId]).toEqual([undefined, at(92)]);
});

test("[RESUME-3] [RESUME-5] a gap is told before the next event, and the position becomes the broker's even if it is lower", () => {
  const harness = createHarness();
  const handed = collect(harness, C, { lastEventId: at(500) });
  harness.connect();
  const { id } = harness.script.socket.last("subscribe");
  harness.script.socket.say(
    subscribed(C, at(7), { recovery: "gap", reason: "rewritten", id }),
    event(C, at(8)),
    caughtUp(C, at(8)),
  );
  expect(handed).toEqual(["gap rewritten", at(8)]);
  expect(harness.statuses.find(({ recovery }) => recovery === "gap")).toMatchObject({
    status: "subscribed",
    gap: { channel: C, reason: "rewritten", from: at(500), to: at(7) },
  });
  expect(harness.client.position(C)).toBe(at(8));
  expect(harness.client.stats.gaps).toBe(1);
});

test("a gap into another epoch: the new log's events are handed over", () => {
  const harness = createHarness();
  const handed = collect(harness, C, { lastEventId: at(500) });
  harness.connect();
  const { id } = harness.script.socket.last("subscribe");
  harness.script.socket.say(
    subscribed(C, at(0, 0, "e2"), { recovery: "gap", reason: "reset", id }),
    event(C, at(1, 0, "e2")),
  );
  expect(handed).toEqual(["gap reset", at(1, 0, "e2")]);
});

test("a broker that starts afresh where it was given a position has made a gap", () => {
  const harness = createHarness();
  const handed = collect(harness, C, { lastEventId: at(5) });
  harness.connect();
  const { id } = harness.script.socket.last("subscribe");
  harness.script.socket.say(subscribed(C, at(9), { recovery: "fresh", id }));
  expect(handed).toEqual(["gap unknown"]);
  expect(harness.client.position(C)).toBe(at(9));
});

test("[RESUME-6] subscribed on a running subscription is a gap and a new position", () => {
  const harness = createHarness();
  const handed = collect(harness);
  harness.connect();
  harness.live(C);
  harness.script.socket.say(
    event(C, at(40)),
    subscribed(C, at(0, 0, "e2"), { recovery: "gap", reason: "reset" }),
    event(C, at(1, 0, "e2")),
    caughtUp(C, at(1, 0, "e2")),
  );
  expect(handed).toEqual([at(40), "gap reset", at(1, 0, "e2")]);
  expect(harness.statuses.slice(-2)).toMatchObject([
    { status: "subscribed", previous: "caught_up", code: "relocated" },
    { status: "caught_up", previous: "subscribed" },
  ]);
});

test("[ORDER-1] an event that was handed over already is dropped and counted", () => {
  const harness = createHarness();
  const handed = collect(harness);
  harness.connect();
  harness.live(C);
  harness.script.socket.say(event(C, at(3)), event(C, at(4)), event(C, at(3)), event(C, at(4)), event(C, at(5)));
  expect(handed).toEqual([at(3), at(4), at(5)]);
  expect(harness.client.stats).toMatchObject({ events: 3, repeats: 2 });
});

test("[SUBSCRIBE-1] what arrives of a channel before its subscribed is not of this subscription", () => {
  const harness = createHarness();
  const handed = collect(harness);
  harness.connect();
  harness.script.socket.say(event(C, at(3)), caughtUp(C, at(3)), unsubscribed(C, at(3)));
  harness.grant(C);
  expect(handed).toEqual([]);
  expect(harness.statuses.at(-1)).toMatchObject({ status: "subscribed" });
});

test("subscribed with another command's id is not ours", () => {
  const harness = createHarness();
  collect(harness);
  harness.connect();
  harness.script.socket.say(subscribed(C, at(3), { recovery: "fresh", id: 999 }));
  expect(harness.statuses.at(-1)).toMatchObject({ status: "subscribing" });
});

test("events of a channel that nobody subscribed are ignored", () => {
  const harness = createHarness();
  harness.connect();
  harness.script.socket.say(event("team:other", at(1)), subscribed("team:other", at(1), { recovery: "fresh" }));
  expect(harness.client.status).toBe("connected");
});

function pingNow({ clock, script }: Harness): number {
  const before = script.socket.count("ping");
  while (script.socket.count("ping") === before) clock.advance(1_000);
  return script.socket.last("ping").id;
}

test("[PING-1] a pong moves the position of channels that were caught up when the ping was sent, and of no others", () => {
  const harness = createHarness();
  for (const channel of ["agent:live", "agent:replaying", "agent:asked"]) collect(harness, channel);
  harness.connect();
  harness.live("agent:live", at(10));
  harness.grant("agent:replaying", at(10));
  const id = pingNow(harness);
  harness.script.socket.say(caughtUp("agent:replaying", at(10)));
  harness.script.socket.say(pong(at(90), id));
  expect(harness.client.position("agent:live")).toBe(at(90));
  expect(harness.client.position("agent:replaying")).toBe(at(10));
  expect(harness.client.position("agent:asked")).toBeUndefined();
  reconnect(harness);
  expect(harness.script.socket.last("subscribe", "agent:live")).toMatchObject({ lastEventId: at(90) });
});

test("[PING-1] never backwards, never to another epoch, never to a position that is none", () => {
  const harness = createHarness();
  collect(harness);
  harness.connect();
  harness.live(C);
  harness.script.socket.say(event(C, at(50)));
  for (const position of [at(49), "0-0-0000", at(900, 0, "e2")]) {
    harness.script.socket.say(pong(position, pingNow(harness)));
    expect(harness.client.position(C)).toBe(at(50));
  }
});

test("[PING-1] a pong says nothing to a subscription that began after its ping", () => {
  const harness = createHarness();
  collect(harness);
  harness.connect();
  harness.live(C);
  const id = pingNow(harness);
  // [RESUME-6] in between: what the pong knows is of the log that was.
  harness.script.socket.say(subscribed(C, at(5), { recovery: "gap", reason: "rewritten" }), caughtUp(C, at(5)));
  harness.script.socket.say(pong(at(90), id));
  expect(harness.client.position(C)).toBe(at(5));
});

test("[PING-1] pongs that are late are not lost: the oldest open ping is the one that counts", () => {
  const harness = createHarness();
  collect(harness);
  harness.connect();
  harness.live(C);
  const id = pingNow(harness);
  harness.script.socket.say(event(C, at(2)));
  pingNow(harness);
  harness.script.socket.say(pong(at(30), id));
  expect(harness.client.position(C)).toBe(at(30));
});

test("[PING-1] a pong that answers no open ping says nothing", () => {
  const harness = createHarness();
  collect(harness);
  harness.connect();
  harness.live(C);
  const id = pingNow(harness);
  harness.script.socket.say(pong(at(90), id + 1_000), pong(at(90), "x"));
  expect(harness.client.position(C)).toBe(at(0));
});

test("[PING-1] a ping that a lost connection left open does not stop later pongs from counting", () => {
  const harness = createHarness();
  collect(harness);
  harness.connect();
  harness.live(C);
  pingNow(harness);
  reconnect(harness);
  harness.live(C);
  harness.script.socket.say(pong(at(30), pingNow(harness)));
  expect(harness.client.position(C)).toBe(at(30));
});

test("a pong that promised too much costs no event", () => {
  const harness = createHarness();
  const handed = collect(harness);
  harness.connect();
  harness.live(C);
  harness.script.socket.say(pong(at(90), pingNow(harness)), event(C, at(60)));
  expect(handed).toEqual([at(60)]);
  expect(harness.client.position(C)).toBe(at(60));
});

test("positions stay readable after close(), for the next run", () => {
  const harness = createHarness();
  const handle = harness.client.subscribe(C, () => {});
  harness.connect();
  harness.live(C);
  harness.script.socket.say(event(C, at(8)));
  harness.client.close();
  expect(harness.client.position(C)).toBe(at(8));
  expect(handle.position).toBe(at(8));
});
