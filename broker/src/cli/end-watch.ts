import type { KataEvent } from "@kata/realtime-client";

/** What `kata tail --until-end` ends with where the stream says that it came to no good end. */
const BAD_END = 3;
const BAD_REASONS: ReadonlySet<unknown> = new Set(["failed", "cancelled"]);

/**
 * Tells when a stream that is read is over [EVENT-6]. History may hold several runs, so of it only an end that is the
 * newest event counts; of what comes later the first one does, also if it came while the connection was lost.
 */
export interface EndWatch {
  /** An event was handed over. Returns whether it ends the stream. */
  handed(event: KataEvent): boolean;
  /** Replay has ended. Returns whether the last event of it ends the stream. */
  caughtUp(): boolean;
  /** What follows is history again, maybe such as was read before. */
  gap(): void;
  /** For the process, by the reason that the last event gives: 0, or 3 for `failed` and `cancelled`. */
  readonly exitCode: number;
}

export function createEndWatch(): EndWatch {
  let live = false;
  let newest: KataEvent | undefined;
  return {
    handed(event) {
      newest = event;
      return live && isEnd(event);
    },
    caughtUp() {
      live = true;
      return isEnd(newest);
    },
    gap() {
      live = false;
    },
    get exitCode() {
      return BAD_REASONS.has(reasonOf(newest?.payload)) ? BAD_END : 0;
    },
  };
}

function isEnd(event: KataEvent | undefined): boolean {
  return event?.type === "stream_ended";
}

/** The broker checks that an event is one, not the shape of its payload [EVENT-4]. */
function reasonOf(payload: unknown): unknown {
  return typeof payload === "object" && payload !== null && "reason" in payload ? payload.reason : undefined;
}
