import { parseLogLine } from "./log-line.ts";

/** Follows the log of a starting nats-server until it is ready or dead. */
export interface Startup {
  /** Resolves with the port that it listens on, once it answers; rejects with its last log lines if it died before. */
  readonly ready: Promise<number>;
  line(line: string): void;
  /** It has ended; returns whether that was before it was ready. */
  died(reason: string): boolean;
}

/** nats-server died before it was ready. `code` is EADDRINUSE where its port was taken. */
export class NatsServerFailed extends Error {
  override readonly name = "NatsServerFailed";
  readonly code: "EADDRINUSE" | "NATS_SERVER_FAILED";

  constructor(reason: string, lines: readonly string[]) {
    const fatal = lines.map((line) => parseLogLine(line)).find((entry) => entry?.level === "fatal");
    super(`nats-server did not start: ${fatal?.message ?? [reason, ...lines].join("; ")}`);
    this.code = lines.some((line) => line.includes("address already in use")) ? "EADDRINUSE" : "NATS_SERVER_FAILED";
  }
}

const LAST_LINES = 5;

export function createStartup(): Startup {
  const last: string[] = [];
  let port = 0;
  let over = false;
  let resolveReady: (port: number) => void = () => undefined;
  let rejectReady: (error: Error) => void = () => undefined;
  const ready = new Promise<number>((resolve, reject) => {
    resolveReady = resolve;
    rejectReady = reject;
  });
  // Who waits gets the rejection; a start nobody waits for any more must not end the process.
  ready.catch(() => undefined);
  return {
    ready,
    line(line) {
      if (over) return;
      last.push(line);
      if (last.length > LAST_LINES) last.shift();
      const listening = /Listening for client connections on .*:(\d+)$/.exec(line);
      if (listening !== null) port = Number(listening[1]);
      // The server says this last: JetStream has recovered its streams, and the port accepts.
      if (line.endsWith("Server is ready")) {
        over = true;
        resolveReady(port);
      }
    },
    died(reason) {
      if (over) return false;
      over = true;
      rejectReady(new NatsServerFailed(reason, last));
      return true;
    },
  };
}
