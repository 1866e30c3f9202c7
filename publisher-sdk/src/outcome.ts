import type { PublisherError } from "./errors.ts";

export interface PublishResult {
  /** The event's place in the log. */
  readonly eventId: string;
  /** Whether an earlier publish with the same idempotency key had stored it already. */
  readonly duplicate: boolean;
}

/** What became of one event of several. */
export type PublishOutcome = PublishResult | { readonly error: PublisherError };

/** Told once what became of an event. What a promise is resolved with will do: it takes a {@link Refusal} for a rejection. */
export type Settle = (outcome: PublishResult | Refusal) => void;

/**
 * Why an event is not known to be stored, in a form that rejects the promise that is resolved with it. So one function is kept
 * for each event that waits, not two.
 */
export class Refusal implements PromiseLike<never> {
  readonly error: PublisherError;

  constructor(error: PublisherError) {
    this.error = error;
  }

  // biome-ignore lint/suspicious/noThenProperty: promises are to be resolved with it; nobody else gets it.
  then<A, B>(_stored?: unknown, refused?: ((error: unknown) => B | PromiseLike<B>) | null): PromiseLike<A | B> {
    refused?.(this.error);
    return this;
  }
}
