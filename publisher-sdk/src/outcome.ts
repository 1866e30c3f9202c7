import type { PublisherError } from "./errors.ts";

export interface PublishResult {
  /** The event's place in the log. */
  readonly eventId: string;
  /** Whether an earlier publish with the same idempotency key had stored it already. */
  readonly duplicate: boolean;
}

/** What became of one event of several. */
export type PublishOutcome = PublishResult | { readonly error: PublisherError };

/** Told once what became of an event. */
export type Settle = (outcome: PublishResult | Refusal) => void;

/** Why an event is not known to be stored. */
export class Refusal {
  readonly error: PublisherError;

  constructor(error: PublisherError) {
    this.error = error;
  }
}
