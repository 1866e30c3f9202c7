#!/usr/bin/env node
import { PublisherError } from "@kata/publisher";
import { Command } from "commander";
import { type PublishOptions, publish } from "./publish.ts";
import { type TailOptions, tail } from "./tail.ts";
import { UsageError } from "./usage-error.ts";

const program = new Command("kata").description("Kata Realtime: read and publish events");

program
  .command("tail")
  .argument("<channel>", "team:{id}, spec:{id} or agent:{id}")
  .description("print a channel's events as they come")
  .option("--json", "one JSON envelope a line")
  .option("--since <eventId>", "start after this event")
  .option("--rewind <amount>", 'start in the past: a number of events, a time (90s, 10m, 2h, 3d), or "all"')
  .option("--url <url>", "broker (default: KATA_URL, then .kata/dev.json)")
  .option("--api-key <key>", "API key (default: KATA_API_KEY, then .kata/dev.json)")
  .action((channel: string, options: TailOptions) => run(() => tail(channel, options)));

program
  .command("publish")
  .argument("<channel>", "team:{id}, spec:{id} or agent:{id}")
  .description("publish one event, or an event a line")
  .option("--type <type>", "event type", "log_entry")
  .option("--data <json>", "one event's payload; prints its eventId")
  .option("--follow <file>", "an event a line, and what is appended later; - for stdin")
  .option("--nats <url>", "NATS servers (default: NATS_URL, then .kata/dev.json)")
  .option("--team <id>", "team that owns the channel (default: KATA_TEAM, then .kata/dev.json)")
  .action((channel: string, options: PublishOptions) => run(() => publish(channel, options)));

async function run(command: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await command();
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof PublisherError)) throw error;
    process.stderr.write(`kata: ${error.message}\n`);
    process.exitCode = 1;
  }
}

await program.parseAsync();
