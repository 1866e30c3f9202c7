import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createPublisher, type Publisher } from "@kata/publisher";
import type { PinoTransportOptions } from "@kata/publisher/pino";
import createPinoTransport, { createPinoStream } from "@kata/publisher/pino";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { readLog } from "../support/stream.ts";
import { createRig, TEAM } from "./rig.ts";

const APP = fileURLToPath(new URL("./pino-app.ts", import.meta.url));
const CHANNEL = "agent:app";
/** What another process does is awaited for so long, milliseconds. */
const POLL = { timeout: 20_000 };

interface Logged {
  readonly timestamp: string;
  readonly traceparent?: string;
  readonly payload: { message: string; level?: string; source?: string; fields?: Record<string, unknown> };
}

/** The application; disposing kills it. */
function startApp(options: Partial<PinoTransportOptions>, before: number, after = 0) {
  const args = [APP, JSON.stringify({ channel: CHANNEL, ...options }), String(before), String(after)];
  const child = spawn(process.execPath, ["--conditions=kata-source", "--import", "tsx", ...args]);
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  const ended = once(child, "close").then(([code]) => ({ code, ...output }));
  return {
    output,
    ended,
    goOn: () => child.stdin.write("\n"),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function logged(nc: Parameters<typeof readLog>[0]): Promise<Logged[]> {
  return (await readLog(nc)).flatMap(({ lines }) => lines.map((line) => JSON.parse(line) as Logged));
}

/** The rejections that nobody handles from here on, until the test has ended. */
function unhandledRejections(): readonly unknown[] {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", listen);
  onTestFinished(() => void process.off("unhandledRejection", listen));
  return unhandled;
}

describe("pino's transport", () => {
  test("has every line in the log, once and in order, when the process has ended by itself", async () => {
    await using rig = await createRig();
    await using app = startApp({ servers: rig.nats.url, teamId: TEAM }, 10_000);
    expect(await app.ended).toEqual({ code: 0, stdout: "logged\n", stderr: "" });
    const events = await logged(rig.nc);
    expect(events).toHaveLength(10_001);
    for (const [i, { payload }] of events.slice(0, -1).entries()) {
      expect(payload).toMatchObject({ message: "before", level: "info", source: "app", fields: { i } });
    }
    expect(events.at(-1)?.payload).toMatchObject({ message: "last", level: "error", source: "app" });
  });

  test("keeps what is logged while NATS is away, waiting where the queue is full, and goes on in order when it is back", async () => {
    await using rig = await createRig();
    await using app = startApp({ servers: rig.nats.url, teamId: TEAM, maxQueueBytes: 64 * 1024 }, 100, 5_000);
    await expect.poll(async () => (await logged(rig.nc)).length, POLL).toBe(100);
    await rig.nats.kill();
    app.goOn();
    await expect.poll(() => app.output.stdout, POLL).toBe("logged\nlogged\n");
    await rig.nats.start();
    expect(await app.ended).toMatchObject({ code: 0, stderr: "" });
    const events = await logged(rig.nc);
    expect(events.slice(100, -1).map(({ payload }) => payload.fields?.i)).toEqual(
      Array.from({ length: 5_000 }, (_, i) => i),
    );
    expect(events.map(({ payload }) => payload.message)).toEqual([
      ...Array(100).fill("before"),
      ...Array(5_000).fill("after"),
      "last",
    ]);
  });

  test("keeps what is logged before NATS is there for the first time, and says once that it waits", async () => {
    await using rig = await createRig();
    await rig.nats.kill();
    await using app = startApp({ servers: rig.nats.url, teamId: TEAM }, 1_000, 1);
    await expect
      .poll(() => app.output.stderr, POLL)
      .toMatch(/^kata: log entries wait until there is a connection: .*\n$/);
    expect(app.output.stderr).not.toContain(new URL(rig.nats.url).password);
    await rig.nats.start();
    await expect.poll(async () => (await logged(rig.nats.url)).length, POLL).toBe(1_000);
    app.goOn();
    expect(await app.ended).toMatchObject({ code: 0, stderr: expect.stringMatching(/^kata: .*\n$/) });
    expect((await logged(rig.nats.url)).at(-1)?.payload.message).toBe("last");
  });

  test("does not keep the process from ending, and says how much is lost, where there is no NATS", async () => {
    await using app = startApp({ servers: `127.0.0.1:${await freePort()}`, teamId: TEAM, closeTimeoutMs: 500 }, 10);
    const { code, stderr } = await app.ended;
    expect(code).toBe(0);
    expect(stderr.split("\n").filter((line) => line !== "")).toEqual([
      expect.stringContaining("kata: log entries wait until there is a connection"),
      expect.stringContaining(`kata: log entries for ${CHANNEL} were lost`),
      `kata: 11 log entries for ${CHANNEL} are not known to be in the log`,
    ]);
  });

  test("ends with the process, and says how much is not known to be in the log, when NATS does not come back", async () => {
    await using rig = await createRig();
    const options = { servers: rig.nats.url, teamId: TEAM, maxQueueBytes: 64 * 1024, closeTimeoutMs: 500 };
    await using app = startApp(options, 100, 5_000);
    await expect.poll(async () => (await logged(rig.nc)).length, POLL).toBe(100);
    await rig.nats.kill();
    app.goOn();
    const { code, stderr } = await app.ended;
    expect(code).toBe(0);
    expect(stderr.split("\n").filter((line) => line !== "")).toEqual([
      expect.stringContaining(`kata: log entries for ${CHANNEL} were lost`),
      `kata: 5001 log entries for ${CHANNEL} are not known to be in the log`,
    ]);
    await rig.nats.start();
  });

  test("says once why nothing can be published, and leaves the application alone", async () => {
    await using rig = await createRig();
    await using app = startApp({ channel: "spec:s.1", servers: rig.nats.url, teamId: TEAM }, 1_000);
    const { code, stderr } = await app.ended;
    expect(code).toBe(0);
    expect(stderr.match(/were lost/g)).toHaveLength(1);
    expect(stderr).toContain("kata: 1001 log entries for spec:s.1 are not known to be in the log");
  });

  test("a key that is refused before there is a line is no unhandled rejection", async () => {
    await using rig = await createRig({ way: "http" });
    const unhandled = unhandledRejections();
    const refused = { url: `http://127.0.0.1:${rig.proxy.port}`, apiKey: "kat_live_t1_nottherightkey0" };
    const answered = rig.proxy.passes("401", "server");
    const transport = createPinoTransport({ channel: CHANNEL, ...refused });
    await answered;
    // What comes to the same takes a way there and back, so the transport has been told by then.
    await expect(createPublisher(refused)).rejects.toMatchObject({ code: "unauthenticated" });
    expect(unhandled).toEqual([]);
    transport.end();
    await once(transport, "close");
    expect(unhandled).toEqual([]);
  });

  test("options that no publisher can have are an error at the start", async () => {
    await using app = startApp({ servers: "127.0.0.1:1" }, 1, 1);
    expect(await app.ended).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("give an apiKey; or the teamId"),
    });
  });
});

describe("a pino line as an event", () => {
  test("pino in the same thread: levels, names, times, errors and trace context have their places", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher();
    const stream = createPinoStream(publisher, CHANNEL);
    const logger = pino({ level: "trace", name: "api", base: { pid: 7 } }, stream);
    for (const level of ["trace", "debug", "info", "warn", "error", "fatal"] as const) logger[level](level);
    const from = Date.now();
    logger.info({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", user: 1 }, "traced");
    logger.info(
      { trace_id: "0af7651916cd43dd8448eb211c80319c", span_id: "b7ad6b7169203331", trace_flags: "01" },
      "otel",
    );
    logger.info({ traceparent: "no", trace_id: "x" }, "not traced");
    logger.error(new Error("broken"));
    await new Promise((resolve) => logger.flush(resolve));
    const events = await logged(rig.nc);
    expect(events.slice(0, 6).map(({ payload }) => payload)).toEqual(
      ["trace", "debug", "info", "warn", "error", "fatal"].map((level) => ({
        message: level,
        level,
        source: "api",
        fields: { pid: 7 },
      })),
    );
    expect(Math.abs(Date.parse(events[0]?.timestamp ?? "") - from)).toBeLessThan(60_000);
    const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect(events[6]).toMatchObject({ traceparent: trace, payload: { fields: { pid: 7, user: 1 } } });
    expect(events[7]).toMatchObject({ traceparent: trace, payload: { message: "otel" } });
    expect(events[7]?.payload.fields).toEqual({ pid: 7 });
    expect(events[8]?.traceparent).toBeUndefined();
    expect(events[8]?.payload.fields).toEqual({ pid: 7, traceparent: "no", trace_id: "x" });
    expect(events[9]?.payload).toMatchObject({
      message: "broken",
      level: "error",
      fields: { err: { type: "Error", message: "broken", stack: expect.stringContaining("pino.test.ts") } },
    });
  });

  test.each([
    ["cannot be written as text", { toString: 1 }],
    ["is a list", ["0af7651916cd43dd8448eb211c80319c"]],
  ])(
    "a trace_id that %s is a field like any other, and nothing stands still",
    async (_, trace_id) => {
      await using rig = await createRig();
      const unhandled = unhandledRejections();
      const stream = createPinoStream(await rig.publisher(), CHANNEL);
      const traced = { trace_id, span_id: "b7ad6b7169203331" };
      stream.write(`${JSON.stringify({ level: 30, time: 1_700_000_000_000, msg: "traced", ...traced })}\n`);
      stream.end(`${JSON.stringify({ level: 30, time: 1_700_000_000_001, msg: "next" })}\n`);
      await once(stream, "finish");
      const events = await logged(rig.nc);
      expect(events.map(({ payload }) => payload.message)).toEqual(["traced", "next"]);
      expect(events[0]?.payload.fields).toEqual(traced);
      expect(events[0]).not.toHaveProperty("traceparent");
      expect(unhandled).toEqual([]);
    },
    6_000,
  );

  test("in the same thread, of lines that are written in one piece those are lost for which there is no room", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher({ maxQueueBytes: 20_000 });
    const { told, log } = await write(publisher, tenLines(JSON.stringify("x".repeat(30_000))), "lose");
    expect(told).toEqual([["queue_full", 1]]);
    expect(await log(rig.nc)).toEqual(NINE);
  });

  test("in the same thread, what the queue cannot hold is lost and reported, and the rest goes on", async () => {
    await using rig = await createRig();
    const publisher = await rig.publisher({ maxQueueBytes: 20_000 });
    await publisher.publish(CHANNEL, { type: "log_entry", payload: { message: "first" } });
    rig.proxy.pause();
    let lost = 0;
    const codes = new Set<string>();
    const onError = (error: Error & { code?: string }, events: number) => {
      lost += events;
      codes.add(error.code ?? "");
    };
    const stream = createPinoStream(publisher, CHANNEL, { onError });
    const logger = pino({ base: null }, stream);
    for (let i = 0; i < 200; i++) {
      logger.info({ i }, "m");
      await new Promise(setImmediate);
    }
    expect([...codes]).toEqual(["queue_full"]);
    rig.proxy.resume();
    await new Promise((resolve) => logger.flush(resolve));
    logger.info("after");
    await new Promise((resolve) => logger.flush(resolve));
    const events = await logged(rig.nc);
    expect(lost).toBeGreaterThan(0);
    expect(events).toHaveLength(1 + 200 - lost + 1);
    const numbers = events.slice(1, -1).map(({ payload }) => payload.fields?.i as number);
    expect(numbers).toEqual(Array.from({ length: 200 - lost }, (_, i) => i));
    expect(events.at(-1)?.payload.message).toBe("after");
  });

  describe.each(["lose", "wait"] as const)("where the queue's end is to %s", (whenFull) => {
    test("one that the broker refuses is lost alone, and so it is told", async () => {
      await using rig = await createRig({ way: "http" });
      const { told, log } = await write(await rig.publisher(), tenLines(nested(1_200)), whenFull);
      expect(told).toEqual([["invalid_event", 1]]);
      expect(await log(rig.nc)).toEqual(NINE);
    });

    test.each([
      ["invalid_event", nested(20_000)],
      ["too_large", JSON.stringify("x".repeat(1_000))],
    ])(
      "one that no event can hold (%s) is lost alone, and its neighbours are in the log once and in order",
      async (code, field) => {
        await using rig = await createRig();
        const publisher = await rig.publisher({ maxEventBytes: 1_000 });
        const { told, log } = await write(publisher, tenLines(field), whenFull);
        expect(told).toEqual([[code, 1]]);
        expect(await log(rig.nc)).toEqual(NINE);
      },
    );
  });
});

const NINE = ["0", "1", "2", "3", "5", "6", "7", "8", "9"];

/** Ten lines, of which the fifth has the field. */
function tenLines(field: string): string {
  return NINE.toSpliced(4, 0, "4")
    .map((message) => `{"level":30,"msg":"${message}"${message === "4" ? `,"field":${field}` : ""}}\n`)
    .join("");
}

function nested(depth: number): string {
  return `${"[".repeat(depth)}${"]".repeat(depth)}`;
}

/** Writes it in one piece, and resolves with what was told of losses when everything is settled. */
async function write(publisher: Publisher, lines: string, whenFull: "lose" | "wait") {
  const told: unknown[] = [];
  const onError = (error: Error & { code?: string }, lost: number) => void told.push([error.code, lost]);
  const stream = createPinoStream(publisher, CHANNEL, { whenFull, onError });
  stream.end(lines);
  await once(stream, "finish");
  const log = async (nc: Parameters<typeof readLog>[0]) => (await logged(nc)).map(({ payload }) => payload.message);
  return { told, log };
}
