import { writeSync } from "node:fs";
import { createPublisher, type Publisher, type PublisherOptions } from "@kata/publisher";

/** Each time, the next time only, or that with a listener that was there before the publishers. */
export type Own = "on" | "once" | "once, before";

export interface DrainTask {
  /** One publisher each, which publishes on a channel of its own: `agent:a0`, `agent:a1` … */
  readonly publishers: readonly PublisherOptions[];
  /** How the application itself listens to SIGTERM: it closes the publishers, too, says its last word, and exits with code 7. */
  readonly own?: Own;
}

/** What the process says, a line of JSON each; what was said is true when the process ends, however that is. */
export type DrainSaid =
  | { readonly ready: true; readonly listeners: number }
  /** So many events, from 0 on, have been accepted by the n-th publisher. */
  | { readonly publisher: number; readonly accepted: number }
  /** The n-th publisher takes nothing more. */
  | { readonly publisher: number; readonly closed: true }
  | { readonly lastWord: true };

/** Events that are published in one go. */
const BURST = 50;

// Synchronous: it is out before what comes next can end the process.
const say = (said: DrainSaid): void => void writeSync(1, `${JSON.stringify(said)}\n`);
const turn = (): Promise<void> => new Promise((next) => setImmediate(next));

/** Publishes events {i} until a signal ends it. */
async function main({ publishers: all, own }: DrainTask): Promise<void> {
  const publishers: Publisher[] = [];
  const shutDown = async (): Promise<void> => {
    await Promise.all(publishers.map((publisher) => publisher.close()));
    // Work of its own, after everybody else is done.
    for (let i = 0; i < 10; i++) await turn();
    say({ lastWord: true });
    process.exit(7);
  };
  if (own === "once, before") process.once("SIGTERM", shutDown);
  for (const options of all) publishers.push(await createPublisher(options));
  if (own === "on" || own === "once") process[own]("SIGTERM", shutDown);
  say({ ready: true, listeners: process.listenerCount("SIGTERM") });
  for (const [n, publisher] of publishers.entries()) {
    void (async () => {
      for (let accepted = 0, told = 0; ; ) {
        for (let i = 0; i < BURST; i++) {
          const before = publisher.stats.queuedEvents;
          const event = { type: "log_entry", payload: { message: "m", i: accepted } };
          const published = publisher.publish(`agent:a${n}`, event);
          if (publisher.stats.queuedEvents > before) {
            accepted++;
            // What it never gets into the log is seen there.
            published.catch(() => undefined);
            continue;
          }
          const { code } = (await published.catch((error: unknown) => error)) as { code?: string };
          if (code === "closed") {
            say({ publisher: n, closed: true });
            return;
          }
          // The queue is full: enough waits.
          break;
        }
        // Only what is new: a pipe that is full of repetitions takes nothing more, and a write to it fails.
        if (accepted > told) say({ publisher: n, accepted });
        told = accepted;
        await turn();
      }
    })();
  }
}

await main(JSON.parse(process.argv[2] ?? "") as DrainTask);
