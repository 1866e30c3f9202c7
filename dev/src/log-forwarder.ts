import type { LogEntry } from "./log-entry.ts";

export interface LogForwarder {
  /** Takes an entry, always and at once. */
  write(entry: LogEntry): void;
  /** From now on entries are published, those that wait first. `publish` resolves when the log has the entry. */
  connect(publish: (entry: LogEntry) => Promise<unknown>): void;
  /** Resolves when nothing waits any more, at once if there is nowhere to publish, or after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
}

export interface LogForwarderOptions {
  /** How many entries may wait; beyond, the oldest are dropped. Default 1,000. */
  readonly maxWaiting?: number;
  /** How many may be on their way at once; they travel in one record. Default 100. */
  readonly maxInFlight?: number;
  /** How long nothing is published after a failure, milliseconds. Default 1,000. */
  readonly pauseMs?: number;
}

/**
 * Publishes the log through the broker that writes it. What goes wrong on the way is counted and never logged: a line about a failure to
 * publish a line would be published too. The count is told in an entry of its own, once publishing works again; and after a
 * failure there is a pause, so that even a NATS that logs each refusal cannot keep the circle going at speed.
 */
export function createLogForwarder(options: LogForwarderOptions = {}): LogForwarder {
  const { maxWaiting = 1_000, maxInFlight = 100, pauseMs = 1_000 } = options;
  const waiting: LogEntry[] = [];
  let publish: ((entry: LogEntry) => Promise<unknown>) | undefined;
  let inFlight = 0;
  let dropped = 0;
  let pause: NodeJS.Timeout | undefined;
  let onEmpty: (() => void)[] = [];

  const pump = (): void => {
    while (publish !== undefined && pause === undefined && inFlight < maxInFlight) {
      const entry = dropped > 0 ? droppedEntry(dropped) : waiting.shift();
      if (entry === undefined) break;
      const told = dropped;
      dropped = 0;
      inFlight++;
      publish(entry).then(
        () => settled(0),
        () => settled(told > 0 ? told : 1),
      );
    }
    if (inFlight === 0 && waiting.length === 0) {
      for (const resolve of onEmpty) resolve();
      onEmpty = [];
    }
  };

  const settled = (lost: number): void => {
    inFlight--;
    dropped += lost;
    if (lost > 0) {
      pause ??= setTimeout(() => {
        pause = undefined;
        pump();
      }, pauseMs).unref();
    }
    pump();
  };

  return {
    write(entry) {
      waiting.push(entry);
      if (waiting.length > maxWaiting) {
        waiting.shift();
        dropped++;
      }
      pump();
    },
    connect(to) {
      publish = to;
      pump();
    },
    async drain(timeoutMs) {
      if (publish === undefined || (inFlight === 0 && waiting.length === 0)) return;
      let timer: NodeJS.Timeout | undefined;
      const empty = new Promise<void>((resolve) => onEmpty.push(resolve));
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      });
      await Promise.race([empty, late]);
      clearTimeout(timer);
    },
  };
}

function droppedEntry(count: number): LogEntry {
  const message = count === 1 ? "1 log entry was dropped here" : `${count} log entries were dropped here`;
  return { timestamp: new Date(), payload: { message, level: "warn", source: "log", fields: { dropped: count } } };
}
