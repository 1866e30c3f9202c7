/** What a herd is told and what it answers, over IPC: plain JSON. */

export type Subprotocol = "kata.v1" | "kata.v1.ndjson";

export interface HerdPlan {
  readonly port: number;
  readonly apiKey: string;
  readonly protocol: Subprotocol;
  /** Reader i reads `channels[i]`; there are as many readers as channels are named. */
  readonly channels: readonly string[];
}

/** Where a reader starts, and the number of the event that it must get first. */
export interface HerdStart {
  readonly next?: number;
  readonly lastEventId?: string;
  readonly rewind?: "all";
}

export type HerdCommand =
  /** Answered when every reader's upgrade was. */
  | { readonly do: "connect"; readonly plan: HerdPlan }
  /** Answered when every reader was sent `caught_up`. */
  | { readonly do: "subscribe"; readonly start: HerdStart }
  /** The reader takes nothing from its socket any more. */
  | { readonly do: "pause"; readonly reader: number }
  | { readonly do: "resume"; readonly reader: number }
  /** Resets every connection. */
  | { readonly do: "cut" }
  /** Reader i resets its connection when it has counted `events[i]` events; answered when all have. */
  | { readonly do: "cutAt"; readonly events: readonly number[] }
  /** Connects every reader again, without subscribing. */
  | { readonly do: "redial" }
  /** Subscribes every reader from its own last eventId; answered when every one was sent `caught_up`. */
  | { readonly do: "continue" }
  /** Both: each reader connects and subscribes from its own last eventId as soon as it is let in, as clients do. */
  | { readonly do: "comeBack" }
  /** Answered when every reader, `except` those, has counted that many events. */
  | { readonly do: "reached"; readonly events: number; readonly except: readonly number[] }
  | { readonly do: "status" };

export interface HerdStatus {
  /** Connections that stand. */
  readonly open: number;
  /** Events, all readers together. */
  readonly events: number;
  /** Bytes of their envelopes. */
  readonly bytes: number;
  /** How many events the reader with the fewest, and with the most, has counted. */
  readonly fewest: number;
  readonly most: number;
  /** How often what came was not what was due: a lost, doubled or misplaced event, or what is no frame or no envelope. */
  readonly wrong: number;
  /** What was wrong first. */
  readonly firstWrong?: string;
  /** How often `subscribed` reported a gap. */
  readonly gaps: number;
  /** Connections that ended without being cut: how many by close code, 1006 for none. */
  readonly closes: Readonly<Record<string, number>>;
  /** SHA-1 of the first reader's envelopes, in order: two servers that gave it the same bytes have the same. */
  readonly digest: string;
}

export interface HerdQuestion {
  readonly id: number;
  readonly command: HerdCommand;
}

export type HerdAnswer =
  | { readonly id: number; readonly status?: HerdStatus; readonly error?: undefined }
  | { readonly id: number; readonly error: string };
