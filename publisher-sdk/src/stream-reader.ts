export interface StreamFacts {
  /** Which incarnation of the stream this is. */
  readonly epoch: string;
  /** The newest sequence it has given out. */
  readonly lastSeq: number;
  /** How long the stream remembers a message id, milliseconds. */
  readonly duplicateWindowMs: number;
}

export interface StoredMessage {
  readonly seq: number;
  /** Its header `Kata-Publish-Id`, which a record with an idempotency key has. */
  readonly publishId: string | undefined;
  /** Its header `Kata-Digest`, which a record with an idempotency key has. */
  readonly digest: string | undefined;
}

/**
 * What a publisher has to ask the stream besides publishing. Only the stream's leader answers (a replica that lags would say
 * that a message is not there). Each rejects with an Error of one clear line if there is no answer.
 */
export interface StreamReader {
  facts(): Promise<StreamFacts>;
  /** The message at a sequence, if it is on this subject and has this `Nats-Msg-Id`; `gone` if no message is there (any more). */
  at(seq: number, subject: string, messageId: string): Promise<StoredMessage | "gone" | undefined>;
  /** The message of a subject with this `Nats-Msg-Id` among those behind `afterSeq`. */
  find(subject: string, messageId: string, afterSeq: number): Promise<StoredMessage | undefined>;
}

/** Header of a record with an idempotency key: which publish stored it. */
export const PUBLISH_ID_HEADER = "Kata-Publish-Id";
/** Header of a record with an idempotency key: how many events, a dot, and base64url of the SHA-256 of their types and payloads. */
export const DIGEST_HEADER = "Kata-Digest";
