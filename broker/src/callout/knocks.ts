import { addressKey, plainAddress } from "../limits/address-key.ts";
import { Buckets } from "../limits/buckets.ts";
import { Places } from "../limits/places.ts";

export interface KnockLimits {
  /** How many of one address are looked at at a time. */
  readonly atATime: number;
  /** How many of one address may be refused a second, on average, and how many at once. */
  readonly refusedPerSecond: number;
  readonly refusedAtOnce: number;
}

/** A fleet behind one address comes back together; of what is not valid there are few, and they wait between attempts. */
const LIMITS: KnockLimits = { atATime: 64, refusedPerSecond: 5, refusedAtOnce: 100 };

/**
 * Who wants in at NATS, by address (IPv6 by /64): one that keeps coming with what is not valid is not looked at for a while,
 * valid credentials included, so that it does not use up what all others have to share.
 */
export class Knocks {
  readonly #places: Places;
  readonly #refused: Buckets;
  readonly #now: () => number;

  /** @param now milliseconds, monotonic; default `performance.now` */
  constructor(limits: KnockLimits = LIMITS, now: () => number = () => performance.now()) {
    this.#places = new Places(limits.atATime);
    this.#refused = new Buckets({ perSecond: limits.refusedPerSecond, most: limits.refusedAtOnce });
    this.#now = now;
  }

  /** Whether one more of the address is looked at. If so, say with what is returned whether it was refused: once. */
  begin(address: string): ((refused: boolean) => void) | undefined {
    const key = addressKey(plainAddress(address));
    if (this.#places.full(key) || this.#refused.waitMs(key, this.#now()) > 0) return undefined;
    this.#places.take(key);
    return (refused) => {
      this.#places.leave(key);
      if (refused) this.#refused.take(key, this.#now());
    };
  }
}
