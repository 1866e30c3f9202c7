import { TokenBucket } from "../../limits/token-bucket.ts";

const MINUTE_S = 60;

export interface CommandRateOptions {
  /** 0: no limit. */
  readonly perSecond: number;
  /** What may come at once besides: a client that comes back subscribes to all its channels. */
  readonly besides: number;
}

/** The commands of one connection [COMMAND-6]. */
export class CommandRate {
  readonly #commands: TokenBucket | undefined;
  /** Refusals: as many within a minute as commands within a second. */
  readonly #patience: TokenBucket | undefined;

  constructor({ perSecond, besides }: CommandRateOptions, now: number) {
    if (perSecond === 0) return;
    this.#commands = new TokenBucket(perSecond, perSecond + besides, now);
    this.#patience = new TokenBucket(perSecond / MINUTE_S, perSecond, now);
  }

  /** What is to be done with one that comes `now` (monotonic milliseconds); `abusive`: it does not stop. */
  next(now: number): "allowed" | "over" | "abusive" {
    if (this.#commands === undefined || this.#commands.take(now)) return "allowed";
    return this.#patience?.take(now) ? "over" : "abusive";
  }
}
