import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import { describe, expect, test, vi } from "vitest";
import { seededRandom } from "../support/random.ts";
import { deleteTestStream, ensureTestStream, readLog, recreateTestStream } from "../support/stream.ts";
import { createRig, eventIdsOf, numbersOf, type Rig, repeatedIds, startLoad, upTo, WAYS } from "./rig.ts";

const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });
const CHANNELS = ["agent:a1", "agent:b1", "spec:s1"];

/** Invariant under attack in all of these: every event once, in order, each publish answered with its place. */
async function expectExactlyOnce(rig: Rig, loads: readonly ReturnType<typeof startLoad>[]): Promise<void> {
  for (const [c, load] of loads.entries()) {
    // Over a connection of its own: the rig's may still be on its way back to a server that was started again.
    const log = await readLog(rig.nats.url, `kata.team.t1.${CHANNELS[c]?.replace(":", ".")}`);
    expect(numbersOf(log)).toEqual(upTo(load.results.length));
    expect(load.results.map((result) => result?.eventId)).toEqual(eventIdsOf(log));
    expect(load.results.every((result) => result?.duplicate === false)).toBe(true);
  }
}

/** Every repeated attempt had the same bytes, and no channel had a record in flight while an earlier one was not settled. */
function expectStrictAttempts(rig: Rig): void {
  const latest = new Map<string, { messageId: string; data: string }>();
  const over = new Set<string>();
  for (const { subject, messageId, data } of rig.seen) {
    const last = latest.get(subject);
    if (last?.messageId === messageId) expect(data).toBe(last.data);
    else if (last !== undefined) over.add(last.messageId);
    expect(over.has(messageId)).toBe(false);
    latest.set(subject, { messageId, data });
  }
}

describe.each(WAYS)("over %s", (way) => {
  describe("a connection that is cut", () => {
    test("at random moments during 5,000 publishes: each is stored once, in order, under its first message id", async () => {
      const random = seededRandom();
      await using rig = await createRig({ way });
      const publisher = await rig.publisher({ maxRecordEvents: 10, ackTimeoutMs: 2_000 });
      await publisher.flush();
      const loads = CHANNELS.map((channel, c) => startLoad(publisher, channel, c === 0 ? 3_000 : 1_000, 40));
      const settled = (): number => loads.reduce((sum, load) => sum + load.settled, 0);
      for (let cuts = 0; cuts < 12; cuts++) {
        const side = random() < 0.7 ? "server" : "client";
        const before = settled();
        await rig.proxy.cutAfter(1 + Math.floor(random() * (side === "server" ? 800 : 30_000)), side);
        // The next one not before something got through again.
        await vi.waitFor(() => expect(settled()).toBeGreaterThan(before), { timeout: 20_000, interval: 1 });
      }
      expect(settled()).toBeLessThan(5_000);
      await Promise.all(loads.map((load) => load.done));
      await expectExactlyOnce(rig, loads);
      expectStrictAttempts(rig);
      const retried = repeatedIds(rig.seen);
      expect(retried.length).toBeGreaterThan(0);
      const log = await readLog(rig.nc);
      for (const id of retried) expect(log.filter((record) => record.messageId === id)).toHaveLength(1);
      expect(rig.proxy.connections).toBeGreaterThanOrEqual(13);
    });

    test("in the middle of an acknowledgement: the record is sent again with the same id, and stored once", async () => {
      await using rig = await createRig({ way });
      // With so long a timeout it is the reconnect alone that sends it again.
      const publisher = await rig.publisher({ ackTimeoutMs: 60_000 });
      await publisher.publish("agent:a1", event(0));
      const cut = rig.proxy.cutAfter(20, "server");
      const result = publisher.publish("agent:a1", event(1));
      await cut;
      const next = publisher.publish("agent:a1", event(2));
      expect(await result).toMatchObject({ duplicate: false });
      await next;
      const log = await readLog(rig.nc);
      expect(numbersOf(log)).toEqual([0, 1, 2]);
      expect((await result).eventId).toBe(log[1]?.eventIds[0]);
      expect(rig.seen.map((message) => message.messageId)).toEqual([0, 1, 1, 2].map((i) => log[i]?.messageId));
    });

    test("for a while: what is published meanwhile waits, and is stored in order", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher({ publishTimeoutMs: Infinity });
      await publisher.publish("agent:a1", event(0));
      const accepted = rig.proxy.connections;
      rig.proxy.refuse(true);
      rig.proxy.cut();
      const published = upTo(2_000).map((i) => publisher.publish("agent:a1", event(i + 1)));
      await vi.waitFor(() => expect(rig.proxy.connections).toBeGreaterThan(accepted + 2), { timeout: 10_000 });
      rig.proxy.refuse(false);
      const results = await Promise.all(published);
      const log = await readLog(rig.nc);
      expect(numbersOf(log)).toEqual(upTo(2_001));
      expect(results.map((result) => result.eventId)).toEqual(eventIdsOf(log).slice(1));
    });
  });

  describe("nats-server", () => {
    test("is killed and started again in the middle of the load", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher({ maxRecordEvents: 10 });
      const loads = CHANNELS.map((channel) => startLoad(publisher, channel, 2_000, 30));
      for (const at of [500, 1_500, 3_000]) {
        await vi.waitFor(() => expect(loads.reduce((sum, load) => sum + load.settled, 0)).toBeGreaterThan(at), {
          timeout: 20_000,
          interval: 1,
        });
        await rig.nats.kill();
        await rig.nats.start();
      }
      await Promise.all(loads.map((load) => load.done));
      await expectExactlyOnce(rig, loads);
    });

    test("is suspended for longer than the acknowledgement timeout", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher({ maxRecordEvents: 10, ackTimeoutMs: 100 });
      const loads = CHANNELS.map((channel) => startLoad(publisher, channel, 1_000, 30));
      for (const at of [300, 1_200, 2_000]) {
        await vi.waitFor(() => expect(loads.reduce((sum, load) => sum + load.settled, 0)).toBeGreaterThan(at), {
          interval: 1,
        });
        rig.nats.suspend();
        // An acknowledgement is overdue when the publisher asks what became of it.
        await rig.proxy.passes(rig.question, "client");
        rig.nats.resume();
      }
      await Promise.all(loads.map((load) => load.done));
      await expectExactlyOnce(rig, loads);
      expectStrictAttempts(rig);
    });

    test("answers no longer on one connection: the record is not sent again before the stream has answered", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher({ ackTimeoutMs: 50 });
      await publisher.publish("agent:a1", event(0));
      rig.nats.suspend();
      const published = publisher.publish("agent:a1", event(1));
      // Each question that is not answered in time is followed by the next.
      for (let asked = 0; asked < 4; asked++) await rig.proxy.passes(rig.question, "client");
      rig.nats.resume();
      await published;
      await vi.waitFor(() => expect(rig.seen.length).toBeGreaterThanOrEqual(2));
      // Without the questions, as many copies would have waited in the server's socket.
      expect(rig.seen.length).toBeLessThanOrEqual(3);
      expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1]);
    });
  });

  describe("the stream", () => {
    // A broker makes the stream itself.
    test.skipIf(way === "http")("is not there at first: what is published waits for it", async () => {
      await using rig = await createRig({ way, stream: false });
      const publisher = await rig.publisher();
      const published = upTo(100).map((i) => publisher.publish("agent:a1", event(i)));
      await ensureTestStream(rig.nc);
      const results = await Promise.all(published);
      const log = await readLog(rig.nc);
      expect(numbersOf(log)).toEqual(upTo(100));
      expect(results.map((result) => result.eventId)).toEqual(eventIdsOf(log));
    });

    test.skipIf(way === "http")("is never there: the publish is rejected with the reason", async () => {
      await using rig = await createRig({ way, stream: false });
      const publisher = await rig.publisher({ publishTimeoutMs: 300 });
      const error: unknown = await publisher.publish("agent:a1", event(0)).catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        code: "unavailable",
        stored: "no",
        message: expect.stringContaining("stream not found"),
      });
    });

    test("is deleted and made anew: later eventIds have the new epoch, nothing is lost", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher();
      const before = [await publisher.publish("agent:a1", event(0)), await publisher.publish("agent:a1", event(1))];
      await deleteTestStream(rig.nc);
      const waiting = publisher.publish("agent:a1", event(2));
      await vi.waitFor(() => expect(rig.seen.length).toBeGreaterThan(2));
      await ensureTestStream(rig.nc);
      const after = [await waiting, await publisher.publish("agent:b1", event(3))];
      const log = await readLog(rig.nc);
      expect(numbersOf(log)).toEqual([2, 3]);
      expect(after.map((result) => result.eventId)).toEqual(eventIdsOf(log));
      expect(epochOf(after[0]?.eventId)).not.toBe(epochOf(before[0]?.eventId));
      expect(epochOf(before[1]?.eventId)).toBe(epochOf(before[0]?.eventId));
    });

    test("is made anew between two publishes: the sequence that went backwards gives it away", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher();
      for (const i of upTo(5)) await publisher.publish("agent:a1", event(i));
      await deleteTestStream(rig.nc);
      await ensureTestStream(rig.nc);
      const results = [];
      for (const i of upTo(10)) results.push(await publisher.publish("agent:a1", event(i)));
      const log = await readLog(rig.nc);
      expect(numbersOf(log)).toEqual(upTo(10));
      expect(results.map((result) => result.eventId)).toEqual(eventIdsOf(log));
      expect(results.every((result) => !result.duplicate)).toBe(true);
    });

    // Over HTTP it is the broker that knows the stream.
    test.skipIf(way === "http")("is made anew before a publisher's first publish: it knew how far it was", async () => {
      await using rig = await createRig({ way });
      const other = await rig.publisher();
      for (const i of upTo(5)) await other.publish("agent:b1", event(i));
      const publisher = await rig.publisher();
      await vi.waitFor(() => expect(publisher.stats.connected).toBe(true));
      await recreateTestStream(rig.nc);
      const { eventId } = await publisher.publish("agent:a1", event(0));
      const log = await readLog(rig.nc, "kata.team.t1.agent.a1");
      expect(numbersOf(log)).toEqual([0]);
      expect(eventIdsOf(log)).toEqual([eventId]);
    });

    // Where it is the broker's connection that stays, nothing tells it.
    test.skipIf(way === "http")("is made anew while the connection is cut", async () => {
      await using rig = await createRig({ way });
      const publisher = await rig.publisher({ ackTimeoutMs: 60_000 });
      await publisher.publish("agent:a1", event(0));
      rig.proxy.refuse(true);
      rig.proxy.cut();
      const published = publisher.publish("agent:a1", event(1));
      await deleteTestStream(rig.nc);
      await ensureTestStream(rig.nc);
      // Others fill it beyond where the old one was, so that the sequence gives nothing away.
      const other = await rig.publisher({ connection: rig.nc });
      for (const i of upTo(5)) await other.publish("agent:b1", event(i));
      rig.proxy.refuse(false);
      const { eventId } = await published;
      expect(eventId).toBe(eventIdsOf(await readLog(rig.nc)).at(-1));
    });
  });

  describe("an outage longer than the duplicate window", () => {
    const window = { duplicate_window: nanos(400) };

    /** Resolves when an id that a stream of the same window got now is no duplicate any more. */
    async function forgets(nc: NatsConnection): Promise<void> {
      await (await jetstreamManager(nc)).streams.add({ name: "PROBE", subjects: ["probe"], ...window });
      const isRepeat = async () => (await jetstream(nc).publish("probe", "", { msgID: "probe" })).duplicate;
      expect(await isRepeat()).toBe(false);
      await vi.waitFor(async () => expect(await isRepeat()).toBe(false), { timeout: 20_000, interval: 20 });
    }

    async function outage(stored: boolean, others: number, key?: string) {
      const rig = await createRig({ way, stream: window });
      const publisher = await rig.publisher({ ackTimeoutMs: 5_000 });
      await publisher.publish("agent:a1", event(0));
      // Stored: its acknowledgement is cut off. Not stored: the publish itself is.
      const cut = stored ? rig.proxy.cutAfter(5, "server") : rig.proxy.cutAfter(20, "client");
      const attempt = { ...event(1), ...(key === undefined ? {} : { idempotencyKey: key }) };
      const published = publisher.publish("agent:a1", attempt);
      rig.proxy.refuse(true);
      await cut;
      const other = await rig.publisher({ connection: rig.nc, maxRecordEvents: 3 });
      if (others > 0)
        await other.publishMany(
          "agent:a1",
          upTo(others).map((i) => event(100 + i)),
        );
      // The window passes, here and on the server.
      await forgets(rig.nc);
      rig.proxy.refuse(false);
      return { rig, result: await published };
    }

    test.each([
      ["alone", 0],
      ["among other publishers' records", 20],
    ])("an event that was stored is found in the log, %s, and not sent again", async (_, others) => {
      const { rig: made, result } = await outage(true, others);
      await using rig = made;
      const log = await readLog(rig.nc);
      expect(numbersOf(log)).toEqual([0, 1, ...upTo(others).map((i) => 100 + i)]);
      expect(result).toEqual({ eventId: log[1]?.eventIds[0], duplicate: false });
      expect(repeatedIds(rig.seen)).toEqual([]);
    });

    test.each([
      ["alone", 0],
      ["behind other publishers' records", 20],
    ])("an event that was not stored is sent, %s", async (_, others) => {
      const { rig: made, result } = await outage(false, others);
      await using rig = made;
      const log = await readLog(rig.nc);
      expect(numbersOf(log)).toEqual([0, ...upTo(others).map((i) => 100 + i), 1]);
      expect(result).toEqual({ eventId: log.at(-1)?.eventIds[0], duplicate: false });
    });

    test("an event with a key that this publish stored is no duplicate", async () => {
      const { rig: made, result } = await outage(true, 2, "k");
      await using rig = made;
      expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1, 100, 101]);
      expect(result.duplicate).toBe(false);
    });
  });
});

function epochOf(eventId: string | undefined): string | undefined {
  return eventId?.split("-")[0];
}
