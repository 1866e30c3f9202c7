import { type PublishOutcome, type PublishResult, Refusal, type Settle } from "./outcome.ts";

// Made outside the calls that take the events: it would keep them, which may be large, for as long as they are waited for.

/** Waits for one event. */
export function waitForOne(resolve: (result: PublishResult) => void, reject: (error: Error) => void): Settle {
  return (outcome) => {
    if (outcome instanceof Refusal) reject(outcome.error);
    else resolve(outcome);
  };
}

/** Waits for so many events, which a lane settles in their order until one is rejected. */
export function waitForAll(
  count: number,
  resolve: (results: PublishResult[]) => void,
  reject: (error: Error) => void,
): Settle {
  const results: PublishResult[] = [];
  return (outcome) => {
    if (outcome instanceof Refusal) reject(outcome.error);
    else if (results.push(outcome) === count) resolve(results);
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
