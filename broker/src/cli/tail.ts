import { parseEventId, type Rewind } from "@kata/protocol/wire";
import { createRealtimeClient, type Gap } from "@kata/realtime-client";
import { WebSocket } from "ws";
import { formatEvent } from "./format.ts";
import { type CommandLine, readerSettings } from "./settings.ts";
import { UsageError } from "./usage-error.ts";

export interface TailOptions extends CommandLine {
  readonly json?: boolean;
  readonly since?: string;
  readonly rewind?: string;
}

/** What a gap's reason means for the person who reads. */
const GAPS: Readonly<Record<Gap["reason"], string>> = {
  expired: "events after it were trimmed by retention",
  reset: "the log was made anew",
  rewritten: "the log lost that event and holds another one there",
  unknown: "the log does not know that position",
};

/** Prints the events of a channel until it is told to stop or cannot go on. Resolves with the exit code. */
export async function tail(channel: string, options: TailOptions): Promise<number> {
  const { url, apiKey } = readerSettings(options, process.env);
  const start = startOf(options);
  const { stdout, stderr } = process;
  const colour = stdout.isTTY && !process.env.NO_COLOR;
  let current: WebSocket | undefined;
  class Pausable extends WebSocket {
    constructor(address: string | URL, protocols?: string | string[]) {
      super(address, protocols);
      current = this;
    }
  }
  const client = createRealtimeClient({ url, apiKey, WebSocket: Pausable });
  return new Promise((resolve) => {
    const end = (code: number) => {
      client.close();
      resolve(code);
    };
    const fail = (line: string) => {
      stderr.write(`kata: ${line}\n`);
      end(1);
    };
    // A reader that closed the pipe (| head) has what it wanted.
    stdout.on("error", () => end(0));
    process.once("SIGINT", () => end(130));
    process.once("SIGTERM", () => end(143));
    client.on("state", ({ status, reason, error }) => {
      if (status === "failed") fail(error?.message ?? reason);
      else if (status === "disconnected") stderr.write(`kata: disconnected (${reason}), connecting again\n`);
    });
    client.on("gap", ({ reason }) => stderr.write(`kata: gap: ${GAPS[reason]}; what still exists follows\n`));
    client.on("subscription", ({ status, error }) => {
      if (status === "failed") fail(error === undefined ? `${channel} cannot be subscribed` : error.message);
    });
    client.subscribe(
      channel,
      (event) => {
        const line = options.json ? JSON.stringify(event) : formatEvent(event, colour);
        if (stdout.write(`${line}\n`)) return;
        // Who reads our output is slow: the broker waits for us as we wait for them, in bounded memory.
        const paused = current;
        paused?.pause();
        stdout.once("drain", () => paused?.resume());
      },
      start,
    );
    client.connect().catch(() => undefined);
  });
}

function startOf({ since, rewind }: TailOptions): { lastEventId?: string; rewind?: Rewind } {
  if (since !== undefined && rewind !== undefined) throw new UsageError("give --since or --rewind, not both");
  if (since !== undefined) {
    if (parseEventId(since) === undefined)
      throw new UsageError(`--since takes an eventId, as printed by --json or by "kata publish"`);
    return { lastEventId: since };
  }
  if (rewind === undefined) return {};
  if (rewind === "all") return { rewind: "all" };
  const match = /^(\d{1,8})(s|m|h|d)?$/.exec(rewind);
  if (match === null)
    throw new UsageError(`--rewind takes a number of events, a time such as 90s, 10m, 2h or 3d, or "all"`);
  const amount = Number(match[1]);
  const unit = { s: 1, m: 60, h: 3_600, d: 86_400 }[match[2] ?? ""];
  return { rewind: unit === undefined ? { count: amount } : { seconds: amount * unit } };
}
