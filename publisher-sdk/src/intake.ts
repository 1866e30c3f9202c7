import { PublisherError } from "./errors.ts";
import { createLineEncoder, type EventInput, type LineEncoder } from "./event.ts";
import { isWithin } from "./lines.ts";
import type { Settings } from "./options.ts";
import type { PublishOptions } from "./publish-options.ts";
import type { SteadyClock } from "./steady-clock.ts";

/** Checks what an application hands over before anything of it is taken. */
export class Intake {
  readonly #encode: LineEncoder;
  readonly #usualTimeoutMs: number;
  readonly #clock: SteadyClock;
  readonly #maxBytes: () => number;

  /** @param maxBytes how long an event may be, as a line; it can change with the server that is connected to */
  constructor({ traceparent, publishTimeoutMs }: Settings, clock: SteadyClock, maxBytes: () => number) {
    this.#encode = createLineEncoder(traceparent);
    this.#usualTimeoutMs = publishTimeoutMs;
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /**
   * How long a publish is tried, milliseconds.
   *
   * @throws TypeError for a timeout or a signal that is none, PublisherError `aborted`
   */
  timeoutOf({ timeoutMs, signal }: PublishOptions): number {
    if (signal !== undefined) {
      if (!isSignal(signal)) throw new TypeError("signal must be an AbortSignal");
      refuseAborted(signal);
    }
    if (timeoutMs === undefined) return this.#usualTimeoutMs;
    if (typeof timeoutMs !== "number" || !(timeoutMs > 0)) throw new TypeError("timeoutMs must be a number over 0");
    return timeoutMs;
  }

  /**
   * An event as its line in a record.
   *
   * @param wall the time of day, for an event without a timestamp
   * @throws PublisherError `invalid_event`, `too_large`
   */
  lineOf(event: EventInput, wall: number): string {
    const line = this.#encode(event, wall);
    const limit = this.#maxBytes();
    if (isWithin(line, limit)) return line;
    const why = `the event has ${Buffer.byteLength(line)} bytes; the limit is ${limit}`;
    throw new PublisherError("too_large", why);
  }

  /**
   * When an event's time begins, ms since 1970: a short one not before it is encoded, which may take as long.
   *
   * @param wall the time of day before it was encoded
   * @throws PublisherError `aborted`: by what wrote the payload
   */
  startOf({ timeoutMs, signal }: PublishOptions, wall: number): number {
    if (signal !== undefined) refuseAborted(signal);
    return timeoutMs === undefined ? this.#clock.at(wall) : this.#clock.now();
  }
}

function isSignal(signal: Partial<AbortSignal> | null): boolean {
  return typeof signal?.addEventListener === "function" && typeof signal.removeEventListener === "function";
}

function refuseAborted({ aborted }: AbortSignal): void {
  if (aborted) throw new PublisherError("aborted", "the signal was aborted before the publish");
}
