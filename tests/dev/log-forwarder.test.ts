import { expect, test, vi } from "vitest";
import { type LogEntry, parsePinoLine } from "../../dev/src/log-entry.ts";
import { createLogForwarder } from "../../dev/src/log-forwarder.ts";
import { createLogging, createNatsLog } from "../../dev/src/logging.ts";
import { parseLogLine } from "../../dev/src/nats/log-line.ts";

function entry(message: string): LogEntry {
  return { timestamp: new Date(0), payload: { message, level: "info", source: "test" } };
}

/** A log that takes entries while it is up, and remembers them. */
function createSink(up = true) {
  const messages: string[] = [];
  const sink = {
    up,
    messages,
    publish: ({ payload }: LogEntry): Promise<void> => {
      if (!sink.up) return Promise.reject(new Error("away"));
      messages.push(payload.message);
      return Promise.resolve();
    },
  };
  return sink;
}

test("entries wait until there is where to publish, then go in order", async () => {
  const forwarder = createLogForwarder();
  const sink = createSink();
  forwarder.write(entry("one"));
  forwarder.write(entry("two"));
  forwarder.connect(sink.publish);
  forwarder.write(entry("three"));
  await forwarder.drain(1_000);
  expect(sink.messages).toEqual(["one", "two", "three"]);
});

test("beyond the limit the oldest are dropped, and how many is told in their place", async () => {
  const forwarder = createLogForwarder({ maxWaiting: 3 });
  const sink = createSink();
  for (let i = 1; i <= 10; i++) forwarder.write(entry(String(i)));
  forwarder.connect(sink.publish);
  await forwarder.drain(1_000);
  expect(sink.messages).toEqual(["7 log entries were dropped here", "8", "9", "10"]);
});

test("no more than the limit is on its way at once", async () => {
  const forwarder = createLogForwarder({ maxInFlight: 2 });
  const settle: (() => void)[] = [];
  forwarder.connect(() => new Promise((resolve) => settle.push(() => resolve(undefined))));
  for (let i = 0; i < 5; i++) forwarder.write(entry(String(i)));
  expect(settle).toHaveLength(2);
  settle[0]?.();
  await vi.waitUntil(() => settle.length === 3);
});

test("what cannot be published is counted, there is a pause, and the count is told when it works again", async () => {
  vi.useFakeTimers();
  try {
    const forwarder = createLogForwarder({ pauseMs: 1_000, maxInFlight: 1 });
    const sink = createSink(false);
    const publish = vi.fn(sink.publish);
    forwarder.connect(publish);
    for (const message of ["one", "two", "three"]) forwarder.write(entry(message));
    await vi.advanceTimersByTimeAsync(999);
    expect(publish).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(publish).toHaveBeenCalledTimes(2);
    sink.up = true;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sink.messages).toEqual(["1 log entry was dropped here", "two", "three"]);
  } finally {
    vi.useRealTimers();
  }
});

test("drain gives up after its time", async () => {
  const forwarder = createLogForwarder();
  forwarder.connect(() => new Promise(() => undefined));
  forwarder.write(entry("stuck"));
  await forwarder.drain(10);
});

test("nats-server's lines are read with their level, its banner is not, and what has no form is an error", () => {
  const at = "[12] 2026/01/02 03:04:05.678901";
  expect(parseLogLine(`${at} [INF] Server is ready`)).toEqual({ level: "info", message: "Server is ready" });
  expect(parseLogLine(`${at} [WRN] careful`)).toEqual({ level: "warn", message: "careful" });
  expect(parseLogLine(`${at} [ERR] no`)).toEqual({ level: "error", message: "no" });
  expect(parseLogLine(`${at} [FTL] dead`)).toEqual({ level: "fatal", message: "dead" });
  expect(parseLogLine(`${at} [INF]  _ | | __|_   _/ __|_   _| _ \\ __| /_\\ |  \\/  |`)).toBeUndefined();
  expect(parseLogLine(`${at} [INF] -------------------------------------------`)).toBeUndefined();
  expect(parseLogLine(`${at} [INF] `)).toBeUndefined();
  expect(parseLogLine("panic: runtime error")).toEqual({ level: "error", message: "panic: runtime error" });
});

test("a pino line becomes an entry; what the process is called and where it runs is left out", () => {
  const line = JSON.stringify({ level: 40, time: 1_000, pid: 1, hostname: "h", msg: "careful", channel: "agent:a" });
  expect(parsePinoLine(line)).toEqual({
    timestamp: new Date(1_000),
    payload: { message: "careful", level: "warn", source: "broker", fields: { channel: "agent:a" } },
  });
  expect(parsePinoLine("no json")).toBeUndefined();
});

test("the terminal gets one line an entry, of nats-server only what needs attention; debug lines are no events", () => {
  const printed: string[] = [];
  const forwarded: string[] = [];
  const logger = createLogging({
    level: "trace",
    colored: false,
    print: (line) => void printed.push(line),
    forward: ({ payload }) => void forwarded.push(`${payload.source} ${payload.level} ${payload.message}`),
  });
  const natsLog = createNatsLog(logger);
  natsLog("[12] 2026/01/02 03:04:05.678901 [INF] Server is ready");
  natsLog("[12] 2026/01/02 03:04:05.678901 [WRN] careful");
  logger.debug("detail");
  logger.info({ text: "two\nlines\u001b[2J" }, "hello");
  expect(printed.map((line) => line.replace(/^\S+ /, ""))).toEqual([
    "warn  nats-server careful",
    "debug broker      detail",
    "info  broker      hello text=two\ufffdlines\ufffd[2J",
  ]);
  expect(forwarded).toEqual(["nats-server info Server is ready", "nats-server warn careful", "broker info hello"]);
});
