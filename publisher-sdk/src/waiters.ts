import { type PublishResult, Refusal, type Settle } from "./outcome.ts";

/** What became of the event at a place. */
type Outcomes = (place: number) => PublishResult | Refusal;

/** Who waits for the events of one record: each by a function, or by a promise. */
export class Waiters {
  /** By the event's place, up to the last one with a function; `undefined` for those with a promise. */
  #settles: (Settle | undefined)[] = NONE;
  /** Of the promise for the first event, if that has one: most records of a quiet channel have no second. */
  #resolve: Resolve | undefined;
  #reject: Reject | undefined;
  #further: FurtherPromises | undefined;

  /** The event at a place, behind all others, waits by a function. */
  add(place: number, settle: Settle): void {
    // A list that is pushed to has room for 17 at once.
    if (place === 0) this.#settles = [settle];
    else {
      if (this.#settles === NONE) this.#settles = [];
      while (this.#settles.length < place) this.#settles.push(undefined);
      this.#settles.push(settle);
    }
  }

  /** The event at a place, behind all others, waits by a promise. */
  promise(place: number): Promise<PublishResult> {
    if (place > 0) {
      this.#further ??= new FurtherPromises();
      return this.#further.add();
    }
    const promise = new Promise(take);
    this.#resolve = taken.resolve;
    this.#reject = taken.reject;
    return promise;
  }

  /** The place of the event that waits by `settle`; -1 if there is none. */
  placeOf(settle: Settle): number {
    return this.#settles.indexOf(settle);
  }

  /** The event at a place, which has a function, is none of the record's any more. */
  remove(place: number): void {
    this.#settles.splice(place, 1);
  }

  /** Nobody waits any more for the event at a place, which has a function. */
  forget(place: number): void {
    this.#settles[place] = ignore;
  }

  /** Tells all of them, in the order of their events: at once, or, where there is more than one promise, functions too in the next microtasks. */
  settle(outcomes: Outcomes): void {
    if (this.#resolve !== undefined) {
      const outcome = outcomes(0);
      if (outcome instanceof Refusal) this.#reject?.(outcome.error);
      else this.#resolve(outcome);
    }
    if (this.#further !== undefined) {
      this.#further.settle(outcomes, this.#settles, this.#resolve === undefined ? 0 : 1);
      return;
    }
    for (let place = 0; place < this.#settles.length; place++) this.#settles[place]?.(outcomes(place));
  }
}

/**
 * Promises that hang on one, and nothing else is kept for each of them. What is unsettled is what the garbage collector has to move
 * about, and a promise with a function to resolve it holds three times as much.
 */
class FurtherPromises {
  #tell = ignore;
  readonly #known = new Promise<void>((resolve) => {
    this.#tell = resolve;
  });
  #outcomes: Outcomes = unknown;
  #settles: readonly (Settle | undefined)[] = NONE;
  /** The place whose promise is next. */
  #next = 0;

  add(): Promise<PublishResult> {
    return this.#known.then(this.#outcome);
  }

  /**
   * @param settles the functions of those places that have one, and no promise: they are called in their turn
   * @param from the first place that is looked at
   */
  settle(outcomes: Outcomes, settles: readonly (Settle | undefined)[], from: number): void {
    this.#outcomes = outcomes;
    this.#settles = settles;
    this.#next = from;
    if (settles.length > 0) void this.#known.then(this.#callFunctions);
    this.#tell();
  }

  /** What each resolves with, in the order of their places: that is how reactions to a promise come. */
  readonly #outcome = (): PublishResult => {
    this.#callFunctions();
    const outcome = this.#outcomes(this.#next++);
    if (outcome instanceof Refusal) throw outcome.error;
    return outcome;
  };

  /** Those before the next promise. */
  readonly #callFunctions = (): void => {
    for (; this.#next < this.#settles.length; this.#next++) {
      const settle = this.#settles[this.#next];
      if (settle === undefined) return;
      settle(this.#outcomes(this.#next));
    }
  };
}

type Resolve = (result: PublishResult) => void;
type Reject = (error: Error) => void;

/** Shared by all that have none; never pushed to. */
const NONE: never[] = [];

function ignore(): void {}

function unknown(): never {
  throw new Error("the promises of a record are told before its outcomes are known");
}

const taken: { resolve: Resolve; reject: Reject } = { resolve: ignore, reject: ignore };

/** What a promise is made with whose settling is left to `taken`: a function of its own for each would be made for nothing. */
function take(resolve: Resolve, reject: Reject): void {
  taken.resolve = resolve;
  taken.reject = reject;
}
