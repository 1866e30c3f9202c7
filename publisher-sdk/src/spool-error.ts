/** Why a spool cannot be used. */
export type SpoolErrorCode =
  /** Another process has it open. */
  | "in_use"
  /** The directory cannot be made, read or written. */
  | "not_writable"
  /** It is another team's or stream's, another program's, or a later version's. */
  | "foreign"
  /** What is in it does not add up. */
  | "damaged"
  /** The disk is full. */
  | "full"
  /** The disk refuses for another reason. */
  | "failed"
  /** `classic-level` is not installed, or has no binary for this system. */
  | "unsupported"
  /** It is closed. */
  | "closed";

/** What `openSpool` and a spool's `commit` and `close` reject with: one line that says what to do. */
export class SpoolError extends Error {
  readonly code: SpoolErrorCode;

  constructor(code: SpoolErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SpoolError";
    this.code = code;
  }
}

/** Events are missing, so nothing is sent as if none were. */
export function damaged(directory: string, what: string, cause?: unknown): SpoolError {
  const todo = "move the directory away to start with an empty one, and keep it: most of it can be read";
  return new SpoolError("damaged", `the spool ${directory} is damaged (${what}): ${todo}`, cause);
}
