import { createPublisher, type PublisherOptions, QueueFullError } from "@kata/publisher";

export interface MemoryTask {
  readonly options: PublisherOptions;
  readonly channels: number;
  /** Whether each event has an idempotency key of its own, and so is a record of its own. */
  readonly keyed: boolean;
  /** Whether each has a signal, the same for all of them. */
  readonly signalled: boolean;
  /** What an event's message is made of, and how many of it. */
  readonly char: string;
  readonly textLength: number;
}

export interface Memory {
  /** What the process has in memory, and what of it JavaScript holds: in the heap and outside it. Bytes. */
  readonly resident: number;
  readonly held: number;
}

/** What the process is told. */
export type MemoryCommand = "publish" | "stop";

/** What it says. */
export type MemoryReport =
  | { readonly at: "ready"; readonly memory: Memory }
  /** A few times a second while it publishes. */
  | { readonly at: "publishing"; readonly accepted: number; readonly refused: number; readonly stored: number }
  | {
      readonly at: "stopped";
      readonly accepted: number;
      readonly queuedEvents: number;
      readonly queuedBytes: number;
      /** The most that was seen while it published, and what is left after a collection. */
      readonly peak: Memory;
      readonly kept: Memory;
    }
  | { readonly at: "settled"; readonly stored: number; readonly failed: number; readonly memory: Memory };

/** For how long it publishes before anything is measured, milliseconds. */
const WARM_MS = 500;
/** Publishes made between two turns of the event loop. */
const BURST = 100;

function memory(): Memory {
  const { rss, heapUsed, external } = process.memoryUsage();
  return { resident: rss, held: heapUsed + external };
}

/** Only what is referred to is left. Twice: the first leaves what has a finalizer. */
async function collect(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.();
    await turn();
  }
}

const turn = (): Promise<void> => new Promise((next) => setImmediate(next));
const say = (report: MemoryReport): void => void process.send?.(report);

/**
 * A process that publishes events {i} at full speed, i counting those that were accepted, and takes no other notice of a full queue than
 * a turn of the event loop. Event i goes to channel i modulo `channels`.
 */
async function main({ options, channels, keyed, signalled, char, textLength }: MemoryTask): Promise<void> {
  const publisher = await createPublisher(options);
  const names = Array.from({ length: channels }, (_, n) => `agent:a${n}`);
  const message = char.repeat(textLength);
  const how = signalled ? { signal: new AbortController().signal } : {};
  let accepted = 0;
  let refused = 0;
  let stored = 0;
  let failed = 0;
  const done = (): void => {
    stored++;
  };
  const lost = (error: unknown): void => {
    if (error instanceof QueueFullError) refused++;
    else if (failed++ === 0) process.stderr.write(`${error}\n`);
  };
  const burst = (): void => {
    for (let n = 0; n < BURST; n++) {
      const before = publisher.stats.queuedEvents;
      const event = { type: "log_entry", payload: { i: accepted, message } };
      const all = keyed ? { ...event, idempotencyKey: `key ${accepted}` } : event;
      publisher.publish(names[accepted % channels] as string, all, how).then(done, lost);
      if (publisher.stats.queuedEvents > before) accepted++;
    }
  };

  // The code is compiled, and the young generation as large as it gets, before anything is measured.
  for (const until = performance.now() + WARM_MS; performance.now() < until; ) {
    burst();
    await publisher.flush();
  }
  await collect();
  let stopped = false;
  const told = new Promise<void>((go) => {
    process.on("message", (command: MemoryCommand) => {
      if (command === "publish") go();
      else stopped = true;
    });
  });
  say({ at: "ready", memory: memory() });
  await told;

  let peak: Memory = { resident: 0, held: 0 };
  let lookedAt = 0;
  let saidAt = 0;
  while (!stopped) {
    burst();
    await turn();
    const now = performance.now();
    if (now - lookedAt < 20) continue;
    lookedAt = now;
    const { resident, held } = memory();
    peak = { resident: Math.max(peak.resident, resident), held: Math.max(peak.held, held) };
    if (now - saidAt < 200) continue;
    saidAt = now;
    say({ at: "publishing", accepted, refused, stored });
  }
  await collect();
  const { queuedEvents, queuedBytes } = publisher.stats;
  say({ at: "stopped", accepted, queuedEvents, queuedBytes, peak, kept: memory() });
  await publisher.flush();
  await collect();
  say({ at: "settled", stored, failed, memory: memory() });
  await publisher.close();
  process.disconnect();
}

await main(JSON.parse(process.argv[2] ?? "") as MemoryTask);
