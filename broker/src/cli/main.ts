#!/usr/bin/env node
import { Command } from "commander";
import { exit } from "./exit.ts";
import { plain } from "./plain.ts";
import type { PublishOptions } from "./publish.ts";
import { complain } from "./report.ts";
import type { TailOptions } from "./tail.ts";
import { UsageError } from "./usage-error.ts";

const CHANNEL = "team:{id}, spec:{id} or agent:{id}";

const program = new Command("kata")
  .description("Kata Realtime: read and publish events")
  .configureOutput({ outputError: (text, write) => write(`kata: ${plain(text.replace(/^error: /, "").trim())}\n`) });

program
  .command("tail")
  .argument("<channel>", CHANNEL)
  .description("print a channel's events as they come")
  .option("--json", "one JSON envelope a line")
  .option("--since <eventId>", "start after this event")
  .option("--rewind <amount>", 'start in the past: a number of events, a time (90s, 10m, 2h, 3d), or "all"')
  .option("--url <url>", "broker (default: KATA_URL, then .kata/dev.json)")
  .option("--api-key <key>", "API key (default: KATA_API_KEY, then .kata/dev.json)")
  // Each command brings only what it needs: that is half of the time it takes to start.
  .action((channel: string, options: TailOptions) =>
    run(async () => (await import("./tail.ts")).tail(channel, options)),
  );

program
  .command("publish")
  .argument("<channel>", CHANNEL)
  .description("publish one event, or an event a line")
  .option("--type <type>", "event type", "log_entry")
  .option("--data <json>", "one event's payload; prints its eventId")
  .option("--follow <file>", "an event a line, and what is appended later; - for stdin")
  .option("--nats <url>", "NATS servers (default: NATS_URL, then .kata/dev.json)")
  .option("--team <id>", "team that owns the channel (default: KATA_TEAM, then .kata/dev.json)")
  .option("--api-key <key>", "API key (default: KATA_API_KEY, then .kata/dev.json)")
  .action((channel: string, options: PublishOptions) =>
    run(async () => (await import("./publish.ts")).publish(channel, options)),
  );

async function run(command: () => Promise<number>): Promise<void> {
  try {
    await exit(await command());
  } catch (error) {
    // A PublisherError, by its name: its module is loaded by one command only.
    if (!(error instanceof UsageError || (error instanceof Error && error.name === "PublisherError"))) throw error;
    complain(error.message);
    await exit(1);
  }
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Whoever read our output (| head) has what it wanted.
  if (error.code === "EPIPE") process.exit(0);
  complain(`cannot write: ${error.message}`);
  process.exit(1);
});
// Nobody is left to tell.
process.stderr.on("error", () => undefined);

await program.parseAsync();
