import { expect, test } from "vitest";
import { createClient } from "./client.ts";
import { settingsOf } from "./options.ts";
import { createFakeClock } from "./testing/fake-clock.ts";
import { createHarness } from "./testing/harness.ts";
import { at, event, pong, subscribed } from "./testing/messages.ts";
import { createScript } from "./testing/script.ts";

const C = "team:t1";

test("a handler that throws costs nobody anything: reported, and on it goes, in order", async () => {
  const { client, script, connect, live, errors } = createHarness();
  const handed: string[] = [];
  client.subscribe(C, (one) => {
    if (one.eventId === at(1)) throw new Error("boom");
    handed.push(`first ${one.eventId}`);
  });
  client.subscribe(C, async (one) => {
    handed.push(`second ${one.eventId}`);
    if (one.eventId === at(2)) throw new Error("later");
  });
  connect();
  live(C);
  script.socket.say(event(C, at(1)), event(C, at(2)));
  expect(handed).toEqual([`second ${at(1)}`, `first ${at(2)}`, `second ${at(2)}`]);
  expect(client.position(C)).toBe(at(2));
  await Promise.resolve();
  expect(errors).toMatchObject([
    { code: "handler_failed", channel: C, eventId: at(1), cause: { message: "boom" } },
    { code: "handler_failed", channel: C, eventId: at(2), cause: { message: "later" } },
  ]);
});

test("what a handler throws while nobody listens for errors is uncaught, as on any platform, but later", () => {
  const clock = createFakeClock();
  const script = createScript();
  const settings = settingsOf({ url: "ws://b", apiKey: "k" });
  const client = createClient(settings, { clock, random: () => 0, openSocket: script.openSocket });
  const handed: string[] = [];
  client.subscribe(C, (one) => {
    handed.push(one.eventId);
    throw new Error("boom");
  });
  void client.connect();
  script.socket.open();
  const { id } = script.socket.last("subscribe");
  script.socket.say(subscribed(C, at(0), { recovery: "fresh", id }), event(C, at(1)), event(C, at(2)));
  expect(handed).toEqual([at(1), at(2)]);
  expect(() => clock.advance(1)).toThrow("boom");
});

test("an error listener that throws itself is uncaught, and the others are told", () => {
  const { client, script, clock, connect, errors } = createHarness();
  client.on("error", () => {
    throw new Error("and again");
  });
  connect();
  script.socket.frame("oops");
  expect(errors).toHaveLength(1);
  expect(() => clock.advance(1)).toThrow("and again");
});

test("a listener that throws does not keep the others from being told", () => {
  const { client, states, errors } = createHarness();
  const told: string[] = [];
  client.on("state", () => {
    throw new Error("boom");
  });
  client.on("state", ({ status }) => told.push(status));
  void client.connect();
  client.close();
  expect(told).toEqual(["connecting", "closed"]);
  expect(states).toHaveLength(2);
  expect(errors.map(({ code }) => code)).toEqual(["handler_failed", "handler_failed"]);
});

test("inside the handler the position is the event's own", () => {
  const { client, script, connect, live } = createHarness();
  const seen: [string, string | undefined][] = [];
  client.subscribe(C, (one) => void seen.push([one.eventId, client.position(C)]));
  connect();
  live(C);
  script.socket.say(event(C, at(1)), event(C, at(1, 1)));
  expect(seen).toEqual([
    [at(1), at(1)],
    [at(1, 1), at(1, 1)],
  ]);
});

test.each(["unsubscribe", "close", "handle"])(
  "after %s in the middle of a frame no handler of it is called again",
  (how) => {
    const { client, script, connect, live } = createHarness();
    const handed: string[] = [];
    const handle = client.subscribe(C, (one) => {
      handed.push(`a ${one.eventId}`);
      if (one.eventId !== at(2)) return;
      if (how === "unsubscribe") client.unsubscribe(C);
      else if (how === "close") client.close();
      else handle.unsubscribe();
    });
    client.subscribe(C, (one) => void handed.push(`b ${one.eventId}`));
    connect();
    live(C);
    script.socket.say(event(C, at(1)), event(C, at(2)), event(C, at(3)));
    const both = [`a ${at(1)}`, `b ${at(1)}`, `a ${at(2)}`];
    expect(handed).toEqual(how === "handle" ? [...both, `b ${at(2)}`, `b ${at(3)}`] : both);
  },
);

test("leaving and coming back inside a handler: the rest of the frame belongs to nobody", () => {
  const { client, script, connect, live, grant } = createHarness();
  const handed: string[] = [];
  const handler = (one: { eventId: string }): void => {
    handed.push(one.eventId);
    if (handed.length > 1) return;
    const lastEventId = client.position(C);
    client.unsubscribe(C);
    client.subscribe(C, handler, { lastEventId });
  };
  client.subscribe(C, handler);
  connect();
  live(C);
  script.socket.say(event(C, at(1)), event(C, at(2)), event(C, at(3)));
  expect(handed).toEqual([at(1)]);
  script.socket.say({ ...subscribed(C, at(3), {}), type: "unsubscribed" });
  grant(C);
  script.socket.say(event(C, at(2)), event(C, at(3)));
  expect(handed).toEqual([at(1), at(2), at(3)]);
});

test("whatever a listener does, everybody is told everything in the same order", () => {
  const { client, script } = createHarness();
  const orders: string[][] = [[], []];
  client.on("state", ({ status }) => {
    orders[0]?.push(status);
    if (status === "connected") client.close();
  });
  client.on("state", ({ status }) => orders[1]?.push(status));
  void client.connect();
  script.socket.open();
  script.socket.say(pong("0-0-0000", 1));
  expect(orders[0]).toEqual(["connecting", "connected", "closed"]);
  expect(orders[1]).toEqual(orders[0]);
  expect(script.socket.gone).toBe("close");
});

test("a listener that was taken back is not told any more, not even what was queued", () => {
  const { client, script } = createHarness();
  const told: string[] = [];
  const off: (() => void)[] = [];
  client.on("state", () => {
    for (const one of off) one();
  });
  off.push(client.on("state", ({ status }) => told.push(status)));
  void client.connect();
  script.socket.end(1006);
  expect(told).toEqual([]);
});

test("subscribing inside a state listener works, before and after the connection", () => {
  const { client, script, connect } = createHarness();
  client.on("state", ({ status }) => {
    client.subscribe(`team:${status}`, () => {});
  });
  connect();
  expect(script.socket.sent.map((one) => ("channel" in one ? one.channel : one.type))).toEqual([
    "ping",
    "team:connecting",
    "team:connected",
  ]);
});

test("a frame of 100,000 events is handed over in order, at once", () => {
  const { client, script, connect, live } = createHarness();
  let count = 0;
  let inOrder = true;
  client.subscribe(C, (one) => {
    inOrder &&= one.eventId === at(++count);
  });
  connect();
  live(C);
  script.socket.say(...Array.from({ length: 100_000 }, (_, i) => event(C, at(i + 1))));
  expect([count, inOrder]).toEqual([100_000, true]);
});
