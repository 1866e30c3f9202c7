import { createPublisher, logEntry, type PublisherOptions } from "@kata/publisher";

/** What the process says, a line of JSON each. */
export type Said =
  | { readonly ready: true }
  /** Events up to this one are on disk. */
  | { readonly spooled: number }
  | { readonly stored: number; readonly eventId: string };

/**
 * A process of its own that publishes events {run, i} with a spool until it is killed, or has published `count`; with 0 it only
 * sends what was left.
 */
async function main(): Promise<void> {
  const [options, run, count] = JSON.parse(process.argv[2] ?? "") as [PublisherOptions, number, number];
  const say = (said: Said): void => void process.stdout.write(`${JSON.stringify(said)}\n`);
  const publisher = await createPublisher(options);
  say({ ready: true });
  for (let i = 0; i < count; ) {
    for (const end = Math.min(count, i + 20); i < end; i++) {
      const n = i;
      const published = publisher.publish("agent:a1", logEntry({ message: "m", run, i }));
      published.then(
        ({ eventId }) => say({ stored: n, eventId }),
        (error: unknown) => process.stderr.write(`${error}\n`),
      );
    }
    await publisher.spooled();
    say({ spooled: i - 1 });
  }
  if (count === 0) await publisher.flush();
  else await new Promise((wait) => setTimeout(wait, 60_000));
  await publisher.close();
}

await main();
