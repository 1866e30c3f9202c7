import { MemoryLog } from "../../broker/src/testing/memory-log.ts";
import { MemoryStream } from "../../broker/src/testing/memory-stream.ts";
import type { LogRig } from "./contract.ts";

export async function createMemoryRig(): Promise<LogRig> {
  let now = 1_000_000_000;
  const stream = new MemoryStream(() => now);
  const log = new MemoryLog({ stream });
  return {
    log,
    store: async (subject, data = "x", id = "") => stream.store(subject, Buffer.from(data), { id }).seq,
    trim: async (first) => stream.trim(first),
    purge: async (subject, below) => stream.purge(subject, below),
    recreate: async () => stream.recreate(`${stream.state().epoch}0`),
    garble: async (subject) => log.garble(subject),
    time: async () => ++now,
    silence: () => {
      log.manual = true;
    },
    cut: async () => {
      log.cut();
      log.manual = false;
    },
    heal: async () => log.heal(),
    [Symbol.asyncDispose]: async () => log.close(),
  };
}
