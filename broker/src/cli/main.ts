#!/usr/bin/env node
import { Command, Option } from "commander";
import { exit } from "./exit.ts";
import { FROM_ENV } from "./from-env.ts";
import type { CreateOptions, KeysOptions, RotateOptions } from "./keys.ts";
import { plain } from "./plain.ts";
import type { PublishOptions } from "./publish.ts";
import { complain } from "./report.ts";
import type { CreateSessionOptions } from "./sessions.ts";
import type { CommandLine } from "./settings.ts";
import type { TailOptions } from "./tail.ts";
import { UsageError } from "./usage-error.ts";

/** Of what is secret and stands on a command line. */
const SEEN = "whoever is on this machine sees it in ps: rather set the variable";

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
  .option(
    "--until-end",
    "exit when the stream is over (stream_ended): with 0, or 3 if it failed or was cancelled. Starts with the newest event, which may be the end, unless --since or --rewind say otherwise",
  )
  .option("--url <url>", "broker (default: KATA_URL, then .kata/dev.json)")
  .option("--api-key <key>", `API key (default: KATA_API_KEY, then .kata/dev.json); ${SEEN}`)
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
  .option("--follow <file>", "an event a line, and what is appended later, also to what takes its place; - for stdin")
  .option("--from <where>", "with --follow FILE: begin at its start or its end (default: start)")
  .option("--state <file>", "with --follow FILE: keep there how far it has got, and go on from there next time")
  .option("--retry", "with --follow FILE: wait for a file that is not there yet")
  .option(
    "--end [reason]",
    "then say that the stream is over (stream_ended; default reason: completed; failed if lines are missing)",
  )
  .option("--url <url>", "publish to a broker over HTTP instead of NATS (default: KATA_URL, where no NATS is given)")
  .option("--nats <url>", `NATS servers (default: NATS_URL, then .kata/dev.json); a password here: ${SEEN}`)
  .option("--team <id>", "team that owns the channel (default: KATA_TEAM, then whose the API key is)")
  .option("--api-key <key>", `API key (default: KATA_API_KEY, then .kata/dev.json); ${SEEN}`)
  .action((channel: string, options: PublishOptions) =>
    run(async () => (await import("./publish.ts")).publish(channel, options)),
  );

const keys = program.command("keys").description("make, list, rotate and revoke API keys");

administrative(keys.command("create"))
  .description("make a key and print it, this once")
  .option("--scope <scopes...>", "what it may do: subscribe, publish, admin", ["subscribe", "publish"])
  .option("--channel <channels...>", "the only channels it may use: spec:s1, or spec:* for all of a kind")
  .option("--name <text>", "what it is for")
  .option("--expires <time>", "when it ends: 90s, 10m, 2h, 30d (default: never)")
  .option("--json", "as JSON")
  .action((options: CreateOptions) => run(async () => (await import("./keys.ts")).createKey(options)));
administrative(keys.command("list"))
  .description("the team's keys; never the keys themselves")
  .option("--json", "as JSON")
  .action((options: KeysOptions) => run(async () => (await import("./keys.ts")).listKeys(options)));
administrative(keys.command("rotate").argument("<keyId>"))
  .description("give a key a new secret and print it, this once")
  .option("--grace <time>", "how long the old one still counts: 90s, 10m, 2h, 30d (default: not at all)")
  .option("--json", "as JSON")
  .action((keyId: string, options: RotateOptions) =>
    run(async () => (await import("./keys.ts")).rotateKey(keyId, options)),
  );
administrative(keys.command("revoke").argument("<keyId>"))
  .description("end a key and close its connections")
  .action((keyId: string, options: KeysOptions) =>
    run(async () => (await import("./keys.ts")).revokeKey(keyId, options)),
  );

const channels = program.command("channels").description("say which specs and agents are the team's");

administrative(channels.command("add").argument("<channel>", "spec:{id} or agent:{id}"))
  .description("make a spec or an agent the team's")
  .action((channel: string, options: CommandLine) =>
    run(async () => (await import("./channels.ts")).addChannel(channel, options)),
  );
administrative(channels.command("list"))
  .description("the team's specs and agents")
  .option("--json", "as JSON")
  .action((options: KeysOptions) => run(async () => (await import("./channels.ts")).listChannels(options)));
administrative(channels.command("remove").argument("<channel>", "spec:{id} or agent:{id}"))
  .description("take a spec or an agent away from the team")
  .action((channel: string, options: CommandLine) =>
    run(async () => (await import("./channels.ts")).removeChannel(channel, options)),
  );

const sessions = program.command("sessions").description("let users in, and end their sessions");

administrative(sessions.command("create"))
  .description("make a session of a user's and print its id, this once")
  .requiredOption("--user <id>", "who it is")
  .requiredOption("--expires <time>", "when it ends: 90s, 10m, 2h, 30d")
  .option("--json", "as JSON")
  .action((options: CreateSessionOptions) => run(async () => (await import("./sessions.ts")).createSession(options)));
administrative(sessions.command("revoke").argument("<sessionId>", "its id, or the SHA-256 of it in hex"))
  .description("end a session and close its connections")
  .action((sessionId: string, options: CommandLine) =>
    run(async () => (await import("./sessions.ts")).revokeSession(sessionId, options)),
  );

function administrative(command: Command): Command {
  return command
    .option("--url <url>", "broker (default: KATA_URL, then .kata/dev.json)")
    .option("--api-key <key>", `API key with the scope admin (default: KATA_API_KEY, then .kata/dev.json); ${SEEN}`)
    .addOption(
      new Option(
        "--nats [url]",
        `work on NATS itself, as whoever runs the brokers; needs --team; a password here: ${SEEN}`,
      ).preset(FROM_ENV),
    )
    .option("--team <id>", "with --nats: the team");
}

program
  .command("nats-secrets")
  .description("make what nats-server and brokers must know of each other, as lines for their environment")
  .action(() =>
    run(async () => {
      process.stdout.write((await import("./nats-secrets.ts")).natsSecrets());
      return 0;
    }),
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
