import { parseEventId } from "@kata/protocol/wire";
import type { StreamFacts } from "./stream-reader.ts";

/** What a publisher knows of the end of the log: from the stream's own words and from acknowledgements. */
export class LogTail {
  /** Which incarnation of the stream acknowledgements are of. */
  epoch = "";
  /** The highest sequence that the stream is known to have given out. */
  knownSeq = 0;
  #ackedSeq = 0;

  /**
   * Takes the sequence of a record that was newly stored. Sequences of one stream only rise, so `false` says that it
   * is not the stream we know, or lost its end.
   */
  acknowledge(seq: number): boolean {
    if (seq <= this.#ackedSeq) return false;
    this.#ackedSeq = seq;
    this.knownSeq = Math.max(this.knownSeq, seq);
    return true;
  }

  /** The sequence of a place in this incarnation of the stream; 0 if it is of another. */
  seqOf(eventId: string | undefined): number {
    const at = parseEventId(eventId);
    return at?.epoch === this.epoch ? at.seq : 0;
  }

  /** Believes the stream. Returns whether it is another one than before. */
  adopt({ epoch, lastSeq }: StreamFacts): boolean {
    const anew = epoch !== this.epoch;
    this.epoch = epoch;
    this.knownSeq = lastSeq;
    // A stream that lost its end gives the same sequences out again.
    this.#ackedSeq = anew ? 0 : Math.min(this.#ackedSeq, lastSeq);
    return anew;
  }
}
