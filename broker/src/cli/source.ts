import type { FilePlace } from "./file-place.ts";

/** Where lines come from: bytes are looked at, and taken when it is known what they are. */
export interface Source {
  /** What was read and not taken yet; it stands until the next `more`. */
  readonly bytes: Buffer;
  /** Nothing follows `bytes`: their last line is complete without a line feed. What comes after `more` is something else. */
  readonly ended: boolean;
  /** Whether nothing stands before `bytes`. */
  readonly begins: boolean;
  /** Where `bytes` begins, in a file. */
  readonly place?: FilePlace;
  take(count: number): void;
  /**
   * Waits for something new to look at. `false`: there is no more, and what was not taken stays where it is.
   *
   * @throws UsageError if it cannot be read
   */
  more(): Promise<boolean>;
  close(): Promise<void>;
}
