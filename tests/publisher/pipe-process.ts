import { createPublisher, type PublisherOptions } from "@kata/publisher";

/** A process of its own that pipes events with payloads of so many characters, and says the result as a line of JSON. */
async function main(): Promise<void> {
  const [options, sizes] = JSON.parse(process.argv[2] ?? "") as [PublisherOptions, readonly number[]];
  await using publisher = await createPublisher(options);
  const events = sizes.map((size, i) => ({ type: "log_entry", payload: { message: "x".repeat(size), i } }));
  process.stdout.write(`${JSON.stringify(await publisher.pipe(events, { channel: "agent:a1" }))}\n`);
}

await main();
