import { parseChannel } from "@kata/protocol/wire";
import { createRealtimeClient, type Gap, type KataEvent, type RealtimeClientOptions } from "@kata/realtime-client";
import { createEndWatch } from "./end-watch.ts";
import { exit } from "./exit.ts";
import { createExplainingSocket } from "./explaining-socket.ts";
import { formatEvent } from "./format.ts";
import { createOutage } from "./outage.ts";
import { createOutput } from "./output.ts";
import { plainJson } from "./plain.ts";
import { complain } from "./report.ts";
import { type CommandLine, readerSettings } from "./settings.ts";
import { exitCodeOf, onStopSignals } from "./signals.ts";
import { type StartOptions, startOf } from "./start.ts";
import { NO_CHANNEL, UsageError } from "./usage-error.ts";

export interface TailOptions extends CommandLine, StartOptions {
  readonly json?: boolean;
}

/** What a gap's reason means for the person who reads. */
const GAPS: ReadonlyMap<Gap["reason"], string> = new Map([
  ["expired", "events after it were trimmed by retention"],
  ["reset", "the log was made anew"],
  ["rewritten", "the log lost that event and holds another one there"],
  ["unknown", "the log does not know that position"],
]);

/** How long a signal lets the lines that are printed already go out, milliseconds. */
const LAST_LINES_MS = 500;

/**
 * Prints the events of a channel until it is told to stop, cannot go on or, with `untilEnd`, the stream is over: then it
 * resolves with the exit code.
 */
export function tail(channel: string, options: TailOptions): Promise<number> {
  if (parseChannel(channel) === undefined) throw new UsageError(`${channel} ${NO_CHANNEL}`);
  const start = startOf(options);
  const { url, apiKey } = readerSettings(options, process.env);
  const socket = createExplainingSocket();
  const client = clientOf({ url, apiKey, WebSocket: socket.WebSocket });
  const print = createPrinter(options.json === true);
  const output = createOutput(process.stdout);
  const outage = createOutage(new URL(url).host, complain);
  const watch = options.untilEnd === true ? createEndWatch() : undefined;
  let waitTold = false;

  onStopSignals(
    (signal) => {
      client.close();
      void exit(exitCodeOf(signal), LAST_LINES_MS);
    },
    (signal) => process.exit(exitCodeOf(signal)),
  );

  return new Promise((resolve) => {
    const fail = (line: string) => {
      client.close();
      complain(line);
      resolve(1);
    };
    const end = () => {
      client.close();
      // Behind the flush of what was printed in this tick; whoever exits waits for that to be taken.
      process.nextTick(() => resolve(watch?.exitCode ?? 0));
    };
    client.on("state", (change) => {
      const { status, error, reason } = change;
      if (status === "failed") return fail(`the broker refuses: ${error?.message ?? reason}`);
      if (status === "connecting" && socket.misdirected && client.stats.connections === 0)
        return fail(`what answers at ${new URL(url).host} is no broker (${socket.problem})`);
      outage(change, socket.problem ?? reason);
    });
    client.on("subscription", ({ status, code, error, reason }) => {
      if (status === "failed") return fail(`${channel} is refused: ${error?.message ?? reason}`);
      if (code === "retry" && !waitTold) complain(`${channel} cannot be read now (${reason}), trying until it can`);
      if (code === "retry") waitTold = true;
      else if (code === "subscribed") waitTold = false;
      else if (code === "caught_up" && watch?.caughtUp()) end();
    });
    client.on("gap", ({ reason, from }) => {
      watch?.gap();
      complain(`gap after ${from ?? "the start"}: ${GAPS.get(reason) ?? reason}; what still exists follows`);
    });
    client.on("error", ({ code, message, cause }) => {
      if (code === "server_error") complain(message);
      if (code === "handler_failed") throw cause;
    });
    const listen = (from: typeof start) => {
      const subscription = client.subscribe(
        channel,
        (event) => {
          output.write(print(event));
          if (watch?.handed(event)) return end();
          if (!output.full) return;
          // Whoever reads our output is slow: the log keeps the rest, and we come back for it. So memory stays bounded,
          // and the connection alive however long it takes.
          subscription.unsubscribe();
          output.whenDrained(() => {
            if (client.status !== "closed") listen({ lastEventId: event.eventId });
          });
        },
        from,
      );
    };
    listen(start);
    void client.connect();
  });
}

function clientOf(options: RealtimeClientOptions): ReturnType<typeof createRealtimeClient> {
  try {
    return createRealtimeClient(options);
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  }
}

function createPrinter(json: boolean): (event: KataEvent) => string {
  if (json) return (event) => plainJson(JSON.stringify(event));
  const { NO_COLOR, TERM } = process.env;
  const colour = process.stdout.isTTY && !NO_COLOR && TERM !== "dumb";
  return (event) => formatEvent(event, { colour, now: new Date() });
}
