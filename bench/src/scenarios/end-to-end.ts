import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createPublisher } from "@kata/publisher";
import { type Result, summarize } from "../result.ts";
import { startServers } from "../servers.ts";

export interface Size {
  readonly runs: number;
  readonly events: number;
}

/** Unsettled events at a time, as a busy agent would allow itself. */
const WINDOW = 10_000;

/**
 * One publisher, one subscriber through the SDKs, one channel, events of about 230 bytes. The reader verifies that it is handed
 * every event once and in order; the publisher that each was acknowledged.
 */
export async function endToEnd({ runs, events }: Size): Promise<Result[]> {
  await using servers = await startServers();
  const acked: number[] = [];
  const delivered: number[] = [];
  // The first run warms up and is not counted.
  for (let run = 0; run <= runs; run++) {
    const channel = `agent:bench-${run}`;
    const reader = fork(fileURLToPath(new URL("../reader.ts", import.meta.url)), [
      servers.wsUrl,
      servers.apiKey,
      channel,
    ]);
    await answerOf(reader, "ready");
    const publisher = await createPublisher({ servers: servers.natsUrl, apiKey: servers.apiKey });
    const done = answerOf(reader, "done");
    const started = performance.now();
    reader.send({ expect: events });
    let settled = 0;
    for (let i = 0; i < events; i += WINDOW / 2) {
      const half: Promise<unknown>[] = [];
      for (let j = i; j < Math.min(events, i + WINDOW / 2); j++) {
        half.push(
          publisher.publish(channel, {
            type: "log_entry",
            payload: {
              message: "compiled src/delivery/subscription.ts in 12 ms",
              level: "info",
              source: "build",
              fields: { i: j, step: "compile", worker: 3 },
            },
          }),
        );
      }
      settled += (await Promise.all(half)).length;
    }
    const ackedMs = performance.now() - started;
    const count = await done;
    const deliveredMs = performance.now() - started;
    await publisher.close();
    reader.disconnect();
    if (settled !== events || count !== events)
      throw new Error(`incomplete: ${settled} acknowledged, ${count} delivered of ${events}`);
    if (run === 0) continue;
    acked.push((events / ackedMs) * 1_000);
    delivered.push((events / deliveredMs) * 1_000);
  }
  const about = { scenario: "end-to-end", system: "kata", unit: "events/s" };
  return [summarize({ ...about, metric: "acked" }, acked), summarize({ ...about, metric: "delivered" }, delivered)];
}

/** The reader's next answer of a kind; rejects if it says that something is wrong, or dies. */
function answerOf(reader: ChildProcess, kind: "ready" | "done"): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      reader.off("message", heard);
      reader.off("exit", died);
      settle();
    };
    const heard = (message: unknown) => {
      const answer = message as { ready?: true; done?: number; wrong?: string };
      if (answer.wrong !== undefined) finish(() => reject(new Error(answer.wrong)));
      else if (answer[kind] !== undefined) finish(() => resolve(answer[kind]));
    };
    const died = (code: number | null) => finish(() => reject(new Error(`the reader ended with ${code}`)));
    reader.on("message", heard);
    reader.on("exit", died);
  });
}
