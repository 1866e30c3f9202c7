import type { Msg } from "@nats-io/transport-node";
import type { PublisherErrorCode } from "./errors.ts";

/** What an answer to a published record says. */
export type Ack =
  | { readonly kind: "stored"; readonly seq: number; readonly duplicate: boolean }
  /** Nobody listens: the stream is not there, or has no leader now. */
  | { readonly kind: "nobody" }
  /** Not stored, but the same record may be later. */
  | { readonly kind: "later"; readonly why: string }
  /** It will never be stored. */
  | { readonly kind: "refused"; readonly code: PublisherErrorCode; readonly why: string };

interface PubAck {
  readonly stream?: unknown;
  readonly seq?: unknown;
  readonly duplicate?: unknown;
  readonly error?: { readonly code?: unknown; readonly err_code?: unknown; readonly description?: unknown };
}

/** JSStreamMessageExceedsMaximumErr: larger than the stream's `max_msg_size`. */
const MESSAGE_TOO_LARGE = 10054;

/**
 * Reads JetStream's answer. Its error codes follow HTTP: 5xx (no space left, maximum bytes or messages reached, no
 * leader, resources), 409 (the same id is being stored) and 429 pass; the others (a sealed stream, the wrong stream) stay.
 */
export function readAck(msg: Msg, stream: string): Ack {
  if (msg.headers?.code === 503) return { kind: "nobody" };
  let ack: PubAck | null;
  try {
    ack = msg.json<PubAck | null>();
  } catch {
    ack = null;
  }
  if (typeof ack !== "object" || ack === null) return { kind: "later", why: "the acknowledgement cannot be read" };
  if (ack.error !== undefined) return readError(ack.error);
  if (ack.stream !== stream) {
    return { kind: "refused", code: "rejected", why: `another stream (${String(ack.stream)}) holds the channel` };
  }
  if (typeof ack.seq !== "number" || !Number.isSafeInteger(ack.seq) || ack.seq < 1) {
    return { kind: "later", why: "the acknowledgement has no sequence" };
  }
  return { kind: "stored", seq: ack.seq, duplicate: ack.duplicate === true };
}

function readError(error: NonNullable<PubAck["error"]>): Ack {
  const why = `${String(error.description ?? "unknown error")} (${String(error.err_code ?? error.code)})`;
  if (error.err_code === MESSAGE_TOO_LARGE) return { kind: "refused", code: "too_large", why };
  const code = typeof error.code === "number" ? error.code : 500;
  if (code >= 500 || code === 409 || code === 429) return { kind: "later", why };
  return { kind: "refused", code: "rejected", why };
}
