import { parseEventId } from "@kata/protocol";
import { createPublisher } from "@kata/publisher";
import { nanos } from "@nats-io/transport-node";
import { describe, expect, it } from "vitest";
import { caughtUp, clientOf, collect, entry } from "../client/setup.ts";
import { startBroker } from "../support/broker.ts";
import { startNats } from "../support/nats.ts";
import { startProxy } from "../support/proxy.ts";
import { seededRandom } from "../support/random.ts";
import { eventsOf, type RawClient } from "../support/raw-client.ts";
import { startForgetful } from "./forgetful.ts";
import { startLoad } from "./load.ts";
import { arrived, expectExactly, gapsOf, idsOf, NDJSON, openLiveReader, openReader, PATIENCE, V1 } from "./readers.ts";

const BUSY = "team:demo";
const BUSY_SUBJECT = "kata.team.demo";
const QUIET = "agent:quiet";
const QUIET_SUBJECT = "kata.team.demo.agent.quiet";

/** Bytes of an event of the busy channel; of those a stream that is limited by size keeps about 60. */
const BUSY_BYTES = 4_000;
const BY_SIZE = { max_bytes: 256 * 1024 };
const BY_AGE = { max_age: nanos(2_000), duplicate_window: nanos(1_000) };

function seqOf(eventId: string | undefined): number {
  return parseEventId(eventId)?.seq ?? 0;
}

/** Asks until the socket is known to be complete up to a place in the log [PING-1]; returns the eventId of that place. */
async function completeUpTo(socket: RawClient, seq: number): Promise<string> {
  let known = "";
  const ask = async () => {
    socket.send({ type: "ping" });
    known = (await socket.nextOf("pong")).eventId;
    return seqOf(known);
  };
  await expect.poll(ask, { timeout: 10_000 }).toBeGreaterThanOrEqual(seq);
  return known;
}

describe("attacks invariant 2: retention removes what readers have not read", () => {
  it("readers that come back from before that get a gap, then everything that exists [RESUME-3] [RESUME-4]", async () => {
    await using scene = await startForgetful(BY_SIZE);
    const ids = await scene.fill(BUSY, 200, BUSY_BYTES);
    const left = await scene.left(BUSY_SUBJECT);
    const trimmed = ids.slice(0, -left.length);
    expect(trimmed.length).toBeGreaterThan(100);
    expect([...trimmed, ...left]).toEqual(ids);
    const origin = `${parseEventId(ids[0])?.epoch}-0-0000`;
    for (const lastEventId of [origin, ids[0], ids[50], trimmed.at(-1)]) {
      await using socket = await openLiveReader(scene.broker, BUSY, { lastEventId: lastEventId ?? "" });
      expect(gapsOf(socket, BUSY)).toEqual(["expired"]);
      expect(idsOf(socket, BUSY)).toEqual(left);
    }
    for (let at = 0; at < left.length; at += 10) {
      await using socket = await openLiveReader(scene.broker, BUSY, { lastEventId: left[at] ?? "" });
      expect(gapsOf(socket, BUSY)).toEqual([]);
      expect(idsOf(socket, BUSY)).toEqual(left.slice(at + 1));
    }
    const client = clientOf(scene.broker);
    const handed = collect(client, BUSY, { lastEventId: ids[0] });
    await client.connect();
    await handed.reaches(1 + left.length);
    expect(handed.log[0]).toBe("gap: expired");
    expect(handed.eventIds).toEqual(left);
  });

  it("readers that age has overtaken get a gap, then what is left and what comes", async () => {
    await using scene = await startForgetful(BY_AGE);
    const [old] = await scene.fill(BUSY, 10, BUSY_BYTES);
    await expect.poll(() => scene.left(BUSY_SUBJECT), PATIENCE).toEqual([]);
    await using socket = await openLiveReader(scene.broker, BUSY, { lastEventId: old ?? "" });
    const fresh = await scene.fill(BUSY, 3, BUSY_BYTES);
    await arrived(socket, BUSY, fresh.at(-1) ?? "");
    expect(gapsOf(socket, BUSY)).toEqual(["expired"]);
    expect(idsOf(socket, BUSY)).toEqual(fresh);
  });

  it("a reader that is overtaken on its way is told so exactly where events are missing [RESUME-6]", async () => {
    const config = { ringBytes: 64 * 1024, highWaterBytes: 64 * 1024 };
    await using scene = await startForgetful({ max_bytes: 4 * 1024 * 1024 }, config);
    await using slow = await openLiveReader(scene.broker, BUSY, { protocols: NDJSON });
    await using quick = await openLiveReader(scene.broker, BUSY);
    slow.socket.pause();
    const ids: string[] = [];
    // Far more than the systems between the two hold, and never more at a time than the quick one can have before it is gone.
    while (ids.length < 200) {
      ids.push(...(await scene.fill(BUSY, 5, 300_000)));
      await arrived(quick, BUSY, ids.at(-1) ?? "");
    }
    slow.socket.resume();
    await arrived(slow, BUSY, ids.at(-1) ?? "");
    let next = 0;
    let told = false;
    for (const message of slow.messages.slice(1)) {
      if (message.type === "subscribed") told = true;
      if (message.type !== "log_entry") continue;
      const at = ids.indexOf(message.eventId);
      if (told) expect(at).toBeGreaterThanOrEqual(next);
      else expect(at).toBe(next);
      next = at + 1;
      told = false;
    }
    expect(next).toBe(ids.length);
    expect(eventsOf(slow.messages, BUSY).length).toBeLessThan(ids.length);
    expect(new Set(gapsOf(slow, BUSY))).toEqual(new Set(["expired"]));
    await expectExactly(quick, BUSY, ids);
  });
});

describe("attacks invariant 2: retention removes only what everybody has read", () => {
  it.each([
    ["by size", BY_SIZE],
    ["by age", BY_AGE],
  ])(
    "nobody sees a gap who is not behind: busy, quiet, come back after a pong, and the SDK (%s)",
    async (_how, limits) => {
      await using scene = await startForgetful(limits);
      const { broker, publisher } = scene;
      await using busy = await openLiveReader(broker, BUSY);
      await using quiet = await openLiveReader(broker, QUIET);
      await using proxy = await startProxy({ port: broker.port });
      const client = clientOf(broker, { url: `ws://127.0.0.1:${proxy.port}`, pingIntervalMs: 50 });
      const live = caughtUp(client, QUIET);
      const handed = collect(client, QUIET);
      await client.connect();
      await live;
      const first = await publisher.publish(QUIET, entry("1"));
      await handed.reaches(1);

      const busyIds: string[] = [];
      let pong = "";
      // A quarter of what the stream keeps, then everybody's place is made fresh; until nothing of the first days is left.
      while ((await scene.left(QUIET_SUBJECT)).length > 0 || busyIds.length < 100) {
        busyIds.push(...(await scene.fill(BUSY, 15, BUSY_BYTES)));
        pong = await completeUpTo(quiet, seqOf(busyIds.at(-1)));
      }
      expect(seqOf(pong)).toBeGreaterThan(seqOf(first.eventId));
      await expect.poll(() => seqOf(client.position(QUIET)), PATIENCE).toBeGreaterThanOrEqual(seqOf(busyIds.at(-1)));
      await expectExactly(busy, BUSY, busyIds);

      const back = caughtUp(client, QUIET);
      proxy.cut();
      await back;
      await using resumed = await openLiveReader(broker, QUIET, { lastEventId: pong });
      const second = await publisher.publish(QUIET, entry("2"));
      await expectExactly(resumed, QUIET, [second.eventId]);
      await expectExactly(quiet, QUIET, [first.eventId, second.eventId]);
      await handed.reaches(2);
      expect(handed.log).toEqual(["1", "2"]);
      expect(client.stats).toMatchObject({ connections: 2, gaps: 0, repeats: 0 });
    },
  );

  it("nor who is live while events come at full speed, many times what the stream keeps", async () => {
    await using scene = await startForgetful({ max_bytes: 128 * 1024 });
    const readers = [];
    for (const protocols of [V1, NDJSON]) readers.push(await openLiveReader(scene.broker, BUSY, { protocols }));
    const load = startLoad(scene.publisher, BUSY, seededRandom());
    await load.reaches(20_000);
    await load.stop();
    for (const socket of readers) await expectExactly(socket, BUSY, load.acked);
    expect((await scene.left(BUSY_SUBJECT)).length).toBeLessThan(load.acked.length / 10);
  });

  it("a live reader of a stream that age has emptied gets the next event, and the one after it", async () => {
    await using scene = await startForgetful(BY_AGE);
    const { broker, publisher } = scene;
    await using quiet = await openLiveReader(broker, QUIET);
    await using newcomer = await openReader(broker, "agent:never");
    const ids = [(await publisher.publish(QUIET, entry("1"))).eventId];
    for (const message of ["2", "3"]) {
      await expect.poll(() => scene.left(QUIET_SUBJECT), PATIENCE).toEqual([]);
      ids.push((await publisher.publish(QUIET, entry(message))).eventId);
    }
    await expectExactly(quiet, QUIET, ids);
    const never = await publisher.publish("agent:never", entry("1"));
    await expectExactly(newcomer, "agent:never", [never.eventId]);
  });
});

describe("attacks invariant 3: retention is shorter than what NATS remembers of repeats", () => {
  it("a broker can be told to keep events for less than two minutes", async () => {
    await using nats = await startNats();
    await using broker = await startBroker({ nats, config: { streamMaxAgeSeconds: 60 } });
    await using socket = await openLiveReader(broker, QUIET);
    await using publisher = await createPublisher({ servers: nats.url, teamId: broker.teamId });
    const { eventId } = await publisher.publish(QUIET, entry("1"));
    await expectExactly(socket, QUIET, [eventId]);
  });
});
