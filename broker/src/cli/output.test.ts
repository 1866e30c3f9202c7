import { setImmediate as tick } from "node:timers/promises";
import { expect, it } from "vitest";
import { createOutput, type Sink } from "./output.ts";

/** Takes nothing until it is told to. */
function slowSink() {
  const written: string[] = [];
  let queued = 0;
  let drained: (() => void) | undefined;
  const sink: Sink = {
    write: (text) => {
      written.push(text);
      queued += text.length;
    },
    once: (_, listener) => {
      drained = listener;
    },
    get writableLength() {
      return queued;
    },
  };
  const take = () => {
    queued = 0;
    drained?.();
  };
  return { sink, written, take };
}

it("writes the lines of a tick in one go", async () => {
  const { sink, written } = slowSink();
  const output = createOutput(sink);
  output.write("a");
  output.write("b");
  await tick();
  output.write("c");
  await tick();
  expect(written).toEqual(["a\nb\n", "c\n"]);
});

it("is full while too much waits, lines of this tick included, and says when it is not any more", async () => {
  const { sink, take } = slowSink();
  const output = createOutput(sink, 6);
  let went = 0;
  output.write("12");
  expect(output.full).toBe(false);
  output.write("34");
  expect(output.full).toBe(true);
  output.whenDrained(() => went++);
  await tick();
  expect([output.full, went]).toEqual([true, 0]);
  take();
  expect([output.full, went]).toEqual([false, 1]);
});

it("goes on at once where the sink takes everything at once, as a file does", async () => {
  const output = createOutput({ write: () => true, once: () => undefined, writableLength: 0 }, 1);
  let went = 0;
  output.write("1");
  output.whenDrained(() => went++);
  await tick();
  expect(went).toBe(1);
});
