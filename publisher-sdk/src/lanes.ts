import type { Lane } from "./lane.ts";

/** How many lanes with nothing in them are kept at most, for their next event. */
const IDLE_LANES = 1_000;

/** A publisher's lanes by channel: one of each, for as long as something is in it, and for a while after that. */
export class Lanes implements Iterable<Lane> {
  readonly #open: (channel: string) => Lane;
  readonly #byChannel = new Map<string, Lane>();
  #busy = 0;

  /** @param open makes the lane of a channel; what it throws, `of` throws */
  constructor(open: (channel: string) => Lane) {
    this.#open = open;
  }

  /** How many have something in them. */
  get busy(): number {
    return this.#busy;
  }

  /** The lane of a channel. */
  of(channel: string): Lane {
    const known = this.#byChannel.get(channel);
    if (known !== undefined) return known;
    const lane = this.#open(channel);
    if (this.#byChannel.size - this.#busy >= IDLE_LANES) {
      for (const [each, { busy }] of this.#byChannel) if (!busy) this.#byChannel.delete(each);
    }
    this.#byChannel.set(channel, lane);
    return lane;
  }

  /** Something is put into the lane right after this. */
  enter(lane: Lane): void {
    if (lane.busy) return;
    lane.busy = true;
    this.#busy++;
  }

  /** Nothing is in the lane any more. */
  leave(lane: Lane): void {
    if (!lane.busy) return;
    lane.busy = false;
    this.#busy--;
    if (this.#byChannel.size - this.#busy > IDLE_LANES) this.#byChannel.delete(lane.channel);
  }

  [Symbol.iterator](): IterableIterator<Lane> {
    return this.#byChannel.values();
  }
}
