import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { readLog } from "../support/stream.ts";
import { createRig, numbersOf, upTo } from "./rig.ts";

const PIPE = fileURLToPath(new URL("./pipe-process.ts", import.meta.url));
const event = (i: number) => ({ type: "log_entry", payload: { message: "m", i } });
const turn = () => new Promise<void>((next) => setImmediate(next));

describe.each(["user", "http"] as const)(
  "over %s, where one behind is given up before the one in front of it",
  (way) => {
    /** A way that is blocked, event 1 on it, and event 2 behind it, whose time is soon up. */
    async function hastyBehind() {
      const rig = await createRig({ way });
      const publisher = await rig.publisher({ ackTimeoutMs: 60_000, closeTimeoutMs: 20_000 });
      await publisher.publish("agent:a1", event(0));
      rig.proxy.pause();
      const order: string[] = [];
      const patient = publisher.publish("agent:a1", event(1)).finally(() => order.push("stored"));
      await turn();
      const hasty = publisher.publish("agent:a1", event(2), { timeoutMs: 50 });
      const givenUp = expect(hasty).rejects.toMatchObject({ code: "unavailable", stored: "no" });
      return { rig, publisher, order, patient, givenUp };
    }

    test("flush waits for both", async () => {
      const { rig, publisher, order, patient, givenUp } = await hastyBehind();
      await using _ = rig;
      const flushed = publisher.flush().then(() => order.push("flushed"));
      await givenUp;
      await turn();
      rig.proxy.resume();
      await Promise.all([patient, flushed]);
      expect(order).toEqual(["stored", "flushed"]);
      expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1]);
    });

    test("a flush that begins only then waits for what is left", async () => {
      const { rig, publisher, order, patient, givenUp } = await hastyBehind();
      await using _ = rig;
      await givenUp;
      const flushed = publisher.flush().then(() => order.push("flushed"));
      await turn();
      rig.proxy.resume();
      await Promise.all([patient, flushed]);
      expect(order).toEqual(["stored", "flushed"]);
    });

    test("close waits for both", async () => {
      const { rig, publisher, order, patient, givenUp } = await hastyBehind();
      await using _ = rig;
      const closed = publisher.close().then(() => order.push("closed"));
      await givenUp;
      await turn();
      rig.proxy.resume();
      await Promise.all([patient, closed]);
      expect(order).toEqual(["stored", "closed"]);
      expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1]);
    });
  },
);

test("a pipe of a silent source ends when the publisher is closed", async () => {
  await using rig = await createRig();
  const publisher = await rig.publisher();
  async function* source() {
    yield event(0);
    await new Promise(() => {});
  }
  const piped = publisher.pipe(source(), { channel: "agent:a1" });
  const ended = expect(piped).rejects.toMatchObject({ code: "closed" });
  await vi.waitFor(() => expect(publisher.stats.published).toBe(1));
  await publisher.close();
  await ended;
  expect(numbersOf(await readLog(rig.nc))).toEqual([0]);
}, 6_000);

// In a process of its own: a pipe that asks again and again without a pause lets nothing else run, no timeout either.
test("a pipe of an event that is larger than the free half of the queue waits until there is room", async () => {
  await using rig = await createRig();
  const options = { ...rig.where, maxQueueBytes: 600_000 };
  const sizes = [250_000, 400_000, 1_000];
  const args = ["--conditions=kata-source", "--import", "tsx", PIPE, JSON.stringify([options, sizes])];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  expect({ code, said }).toEqual({ code: 0, said: '{"events":3,"duplicates":0}\n' });
  expect(numbersOf(await readLog(rig.nc))).toEqual(upTo(3));
}, 10_000);

test.each([
  ["a controller", new AbortController()],
  ["an object", {}],
  ["null", null],
  ["a string", "stop"],
])("a signal that is %s is a TypeError, and nothing is published", async (_, signal) => {
  await using rig = await createRig();
  const publisher = await rig.publisher();
  const options = { signal: signal as AbortSignal };
  await expect(publisher.publish("agent:a1", event(0), options)).rejects.toThrow(TypeError);
  await expect(publisher.publishMany("agent:a1", [event(0)], options)).rejects.toThrow(TypeError);
  await publisher.publish("agent:a1", event(1));
  expect(numbersOf(await readLog(rig.nc))).toEqual([1]);
});

test("an end without a reason, or without options, is answered, not thrown on", async () => {
  await using rig = await createRig();
  const publisher = await rig.publisher();
  const end = publisher.end.bind(publisher) as (channel: string, options?: unknown) => Promise<unknown>;
  for (const options of [undefined, null, {}, { reason: "" }]) {
    const outcome = vi.fn(() => end("agent:a1", options));
    expect(outcome).not.toThrow();
    await expect(outcome.mock.results[0]?.value).rejects.toMatchObject({ code: "invalid_event", stored: "no" });
  }
  expect(await readLog(rig.nc)).toEqual([]);
});

test("a clock that is set back while nothing is on its way does not cost the next event", async () => {
  await using rig = await createRig();
  let behind = 0;
  const dateNow = Date.now.bind(Date);
  const clock = vi.spyOn(Date, "now").mockImplementation(() => dateNow() - behind);
  onTestFinished(() => clock.mockRestore());
  const publisher = await rig.publisher({ ackTimeoutMs: 50, publishTimeoutMs: 2_000 });
  const stopped = vi.spyOn(globalThis, "clearInterval");
  onTestFinished(() => stopped.mockRestore());
  await publisher.publish("agent:a1", event(0));
  // From then on the publisher does not look at its clocks.
  await vi.waitFor(() => expect(stopped).toHaveBeenCalled());
  behind = 3_600_000;
  rig.proxy.pause();
  const published = publisher.publish("agent:a1", event(1));
  const looks = clock.mock.calls.length;
  await vi.waitFor(() => expect(clock.mock.calls.length).toBeGreaterThan(looks + 20));
  rig.proxy.resume();
  await published;
  await vi.waitFor(() => expect(stopped).toHaveBeenCalledTimes(2));
  behind = 7_200_000;
  await publisher.publishMany("agent:a1", [event(2), event(3)]);
  expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1, 2, 3]);
});

test("over http, a clock that is set back while a record is tried again: it is stored once, and known as its own", async () => {
  await using rig = await createRig({ way: "http" });
  let behind = 0;
  const dateNow = Date.now.bind(Date);
  const clock = vi.spyOn(Date, "now").mockImplementation(() => dateNow() - behind);
  onTestFinished(() => clock.mockRestore());
  const publisher = await rig.publisher({ ackTimeoutMs: 300 });
  await publisher.publish("agent:a1", event(0));
  // The first attempt is stored, and its answer lost; further ones do not get there.
  const lost = rig.proxy.cutAfter(1, "server").then(() => rig.proxy.pause());
  const published = publisher.publish("agent:a1", event(1));
  await lost;
  behind = 5_000;
  // An attempt that has no answer takes longer than the publisher needs to look at its clocks.
  const { connections } = rig.proxy;
  await vi.waitFor(() => expect(rig.proxy.connections).toBeGreaterThan(connections + 2));
  rig.proxy.cut();
  rig.proxy.resume();
  expect(await published).toMatchObject({ duplicate: false });
  expect(numbersOf(await readLog(rig.nc))).toEqual([0, 1]);
});
