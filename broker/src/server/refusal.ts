import type { ErrorCode } from "@kata/protocol/wire";

/** Why somebody is not let in, or not now. */
export interface Refusal<Code extends ErrorCode = ErrorCode> {
  readonly code: Code;
  /** One line for a person. */
  readonly message: string;
  /** When it is worth while to come back, milliseconds from now; absent if nobody knows. */
  readonly retryAfterMs?: number | undefined;
}
