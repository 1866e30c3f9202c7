import type { ErrorCode } from "@kata/protocol/wire";
import type { EventInput } from "../event-input.ts";
import type { FanOut } from "./fan-out.ts";
import type { SessionDeps } from "./session.ts";

/** Where an event stands in the log. */
export interface Stored {
  readonly eventId: string;
  /** Whether an earlier publish with the same idempotency key had stored it already. */
  readonly duplicate: boolean;
}

/** What became of one event; `error` is what `publishErrorOf` explains. */
export type Outcome = Stored | { readonly error: unknown };

/** Attempts at the same publish that its client made before, perhaps with another broker. */
export interface Attempt {
  /** The publish's own id, `[A-Za-z0-9_-]{1,64}`: a stored copy that has it is no duplicate, but this very publish. */
  readonly publishId: string;
  /** How long ago the first attempt was made, milliseconds; 0: this is the first. */
  readonly sinceMs: number;
  /** An eventId that the log had before the first attempt. */
  readonly after?: string | undefined;
}

/** Events that are one record under one key. */
export interface Together {
  readonly idempotencyKey: string;
  /** Whether what stands under the key already must be the same events; default true. It need not be where it is a single event's own. */
  readonly compare?: boolean;
  readonly attempt?: Attempt | undefined;
}

/** Publishes for one team. */
export interface EventPublisher {
  /**
   * Stores events of one channel in order; resolves with what became of each, in their order. Those without a key of their own travel in few
   * records; of neighbours without one either all are accepted or none.
   */
  publish(channel: string, events: readonly EventInput[], together?: Together): Promise<readonly Outcome[]>;
}

/** What a publish that failed is to its client; `unavailable` where the log may have it all the same, whatever the reason. */
export interface PublishFailure {
  readonly code: ErrorCode;
  readonly message: string;
  /** Too much of the team's was on its way: nothing of it was accepted, and soon there is room again. */
  readonly full?: boolean;
}

/** What publishing over HTTP needs beyond what a session needs. */
export interface PublishDeps extends SessionDeps {
  readonly fanOut: FanOut;
  /** Rejects with what `publishErrorOf` explains. */
  readonly publisherOf: (teamId: string) => Promise<EventPublisher>;
  /** What a rejection is to the client, `undefined` if it is a defect. */
  readonly publishErrorOf: (error: unknown) => PublishFailure | undefined;
}

/** What a rejection is to the client; a defect is logged. */
export function failureOf(error: unknown, { publishErrorOf, logger }: PublishDeps): PublishFailure {
  const known = publishErrorOf(error);
  if (known !== undefined) return known;
  logger.error({ err: error }, "publishing failed");
  return { code: "internal", message: "publishing failed: try again" };
}
