import { spawn } from "node:child_process";
import { Console } from "node:console";
import { once } from "node:events";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import type { EventInput, Publisher } from "@kata/publisher";
import { describe, expect, test } from "vitest";
import { captureConsole, withoutCapture } from "../../publisher-sdk/src/capture.ts";
import { readLog } from "../support/stream.ts";
import { createRig, TEAM } from "./rig.ts";

const APP = fileURLToPath(new URL("./capture-app.ts", import.meta.url));
const CHANNEL = "agent:app";

/** A console that prints into an array, by Node's own implementation. */
function createConsole() {
  const printed: string[] = [];
  const stream = (name: string) =>
    new Writable({
      decodeStrings: false,
      write: (text: string, _, done) => {
        printed.push(`${name} ${text}`);
        done();
      },
    });
  return { console: new Console(stream("out"), stream("err")), printed };
}

/** A publisher that answers as it is told. */
function fakePublisher(publish: (event: EventInput) => Promise<unknown>): Publisher {
  return { publish: (_channel: string, event: EventInput) => publish(event) } as Publisher;
}

describe("a captured console", () => {
  test("prints as before, and each call is an event with the method's level, in order", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher();
    const { console, printed } = createConsole();
    const capture = captureConsole(publisher, CHANNEL, { console, source: "worker" });
    const { log } = console;
    log("%s is %d of %o", "this", 1, { a: 1 });
    console.info("two\nlines");
    console.warn(new Error("odd"));
    console.error("three", 3);
    console.debug();
    console.table([{ a: 1 }]);
    console.assert(1 > 2, "not so");
    expect(await capture.restore()).toEqual({ events: 7, lost: 0 });
    console.log("not captured");
    const events = (await readLog(rig.nc)).flatMap(({ lines }) => lines.map((line) => JSON.parse(line)));
    expect(events.map(({ type, payload }) => [type, payload.level, payload.source])).toEqual(
      ["info", "info", "warn", "error", "debug", "info", "warn"].map((level) => ["log_entry", level, "worker"]),
    );
    const messages = events.map(({ payload }) => payload.message);
    expect(messages).toEqual([
      "this is 1 of { a: 1 }",
      "two\nlines",
      expect.stringMatching(/^Error: odd\n {4}at .*capture-console\.test\.ts/),
      "three 3",
      "",
      expect.stringContaining("(index)"),
      "Assertion failed: not so",
    ]);
    expect(printed.map((line) => line.slice(4, -1))).toEqual([...messages, "not captured"]);
  });

  test("console.trace is one event, with the caller's stack", async () => {
    const events: EventInput[] = [];
    const { console, printed } = createConsole();
    await using _ = captureConsole(
      fakePublisher(async (event) => void events.push(event)),
      CHANNEL,
      { console },
    );
    console.trace("here %d", 1);
    expect(printed).toHaveLength(1);
    expect(events.map(({ payload }) => payload)).toEqual([
      { level: "trace", message: expect.stringMatching(/^Trace: here 1\n {4}at .*capture-console\.test\.ts/) },
    ]);
  });

  test("in a group is indented where it is printed, and has its text as it is in the event; the label is an event", async () => {
    const events: EventInput[] = [];
    const { console, printed } = createConsole();
    await using _ = captureConsole(
      fakePublisher(async (event) => void events.push(event)),
      CHANNEL,
      { console },
    );
    console.group("label");
    console.warn("two\nlines");
    console.groupEnd();
    console.log("after");
    expect(printed).toEqual(["out label\n", "err   two\n  lines\n", "out after\n"]);
    expect(events.map(({ payload }) => payload)).toEqual([
      { message: "label", level: "info" },
      { message: "two\nlines", level: "warn" },
      { message: "after", level: "info" },
    ]);
  });

  test("prints nothing when it is to be silent, but what is said about publishing", async () => {
    const { console, printed } = createConsole();
    const capture = captureConsole(
      fakePublisher(() => Promise.reject(new Error("no"))),
      CHANNEL,
      { console, silent: true, onError: (error, lost) => console.error(`lost ${lost}: ${error.message}`) },
    );
    console.log("nobody sees this");
    expect(await capture.restore()).toEqual({ events: 0, lost: 1 });
    expect(printed).toEqual(["err lost 1: no\n"]);
  });

  test("does not loop when publishing prints, now or later, or a report of its failure does", async () => {
    const { console, printed } = createConsole();
    const published: unknown[] = [];
    const publisher = fakePublisher(async ({ payload }) => {
      published.push((payload as { message: string }).message);
      console.log("publishing");
      await new Promise(setImmediate);
      console.log("published");
      throw new Error("not really");
    });
    const later: Promise<unknown>[] = [];
    const onError = (error: Error) => {
      console.error(error.message);
      later.push(Promise.resolve().then(() => console.error("later")));
      throw new Error("a listener that throws");
    };
    const capture = captureConsole(publisher, CHANNEL, { console, onError });
    console.log("one");
    console.log("two");
    withoutCapture(() => console.log("quiet"));
    expect(await capture.restore()).toEqual({ events: 0, lost: 2 });
    await Promise.all(later);
    expect(published).toEqual(["one", "two"]);
    expect(printed.filter((line) => /not really|later/.test(line))).toHaveLength(4);
    expect(printed.filter((line) => /quiet/.test(line))).toHaveLength(1);
  });

  test("an object that prints while it is printed does not loop, and one that throws throws what it threw before", async () => {
    const { console, printed } = createConsole();
    const published: unknown[] = [];
    const lost: string[] = [];
    const publisher = fakePublisher(async ({ payload }) => void published.push(payload));
    const capture = captureConsole(publisher, CHANNEL, { console, onError: (error) => lost.push(error.message) });
    console.log({
      [inspect.custom]: () => {
        console.log("inside");
        return "outside";
      },
    });
    const broken = {
      [inspect.custom]: () => {
        throw new Error("cannot be shown");
      },
    };
    expect(() => console.log(broken)).toThrow("cannot be shown");
    let shown = false;
    const once = {
      [inspect.custom]: () => {
        if (shown) throw new Error("only once");
        shown = true;
        return "shown";
      },
    };
    console.log(once);
    console.log("goes on");
    await capture.restore();
    expect(published).toEqual([
      { message: "outside", level: "info" },
      { message: "goes on", level: "info" },
    ]);
    expect(lost).toEqual(["only once"]);
    expect(printed.filter((line) => line.includes("outside"))).toHaveLength(1);
    expect(printed.at(-1)).toBe("out goes on\n");
  });

  test("is left to whoever has put something around it since, and captures no more", async () => {
    const { console, printed } = createConsole();
    const published: unknown[] = [];
    const capture = captureConsole(
      fakePublisher(async (event) => void published.push(event)),
      CHANNEL,
      { console, silent: true },
    );
    const { log: captured, warn } = console;
    console.log = (...args) => captured("around", ...args);
    console.log("x");
    await capture.restore();
    console.log("y");
    console.warn("z");
    expect(console.warn).not.toBe(warn);
    expect(published).toHaveLength(1);
    expect(printed).toEqual(["out around y\n", "err z\n"]);
  });

  test("a line too long for one event is as many as it takes", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher();
    const { console } = createConsole();
    const capture = captureConsole(publisher, CHANNEL, { console });
    const long = "\u0001ä".repeat(100_000);
    console.log(long);
    const { events } = await capture.restore();
    expect(events).toBeGreaterThan(1);
    const messages = (await readLog(rig.nc)).flatMap(({ lines }) =>
      lines.map((line) => JSON.parse(line).payload.message),
    );
    expect(messages.join("")).toBe(long);
  });

  test("by default the first failure is one line on stderr, and the application does not notice", async () => {
    await using rig = await createRig();
    const args = ["--conditions=kata-source", "--import", "tsx", APP, rig.nats.url, TEAM];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit") as Promise<[number | null]>,
    ]);
    expect(code).toBe(0);
    expect(stdout).toBe(`${Array.from({ length: 1_000 }, (_, i) => `line ${i}\n`).join("")}0 1001\n`);
    expect(
      stderr
        .split("\n")
        .filter((line) => line !== "")
        .sort(),
    ).toEqual([
      "broken",
      "kata: output to agent:app was lost: the publisher is closed; further failures are not reported",
    ]);
  });
});
