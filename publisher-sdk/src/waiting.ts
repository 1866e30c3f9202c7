import { type PublisherError, withUnknown } from "./errors.ts";
import { type PublishOutcome, type PublishResult, Refusal, type Settle } from "./outcome.ts";

// Made outside the calls that take the events: it would keep them, which may be large, for as long as they are waited for.

/** Waits for one event. */
export function waitForOne(resolve: (result: PublishResult) => void, reject: (error: Error) => void): Settle {
  return (outcome) => {
    if (outcome instanceof Refusal) reject(outcome.error);
    else resolve(outcome);
  };
}

/**
 * Waits for so many events, which a lane settles in their order as long as none is rejected. The first error is told when it is known what
 * became of all: only then is it known whether the log has any of them.
 */
export function waitForAll(
  count: number,
  resolve: (results: PublishResult[]) => void,
  reject: (error: Error) => void,
): Settle {
  const results: PublishResult[] = [];
  let failed = 0;
  let first: PublisherError | undefined;
  let unknown = false;
  return (outcome) => {
    if (outcome instanceof Refusal) {
      failed++;
      first ??= outcome.error;
      unknown ||= outcome.error.stored === "unknown";
    } else results.push(outcome);
    if (results.length + failed < count) return;
    if (first === undefined) resolve(results);
    else reject(unknown || results.length > 0 ? withUnknown(first) : first);
  };
}

/** Waits for so many events, each at its place. */
export function waitForEach(count: number, resolve: (outcomes: PublishOutcome[]) => void): (i: number) => Settle {
  const outcomes: PublishOutcome[] = new Array(count);
  let left = count;
  return (i) => (outcome) => {
    outcomes[i] = outcome instanceof Refusal ? { error: outcome.error } : outcome;
    if (--left === 0) resolve(outcomes);
  };
}
