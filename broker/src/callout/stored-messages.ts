import { epochOf, STREAM } from "@kata/protocol/wire";
import { jetstreamManager, type StoredMsg } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";

/** What a publisher is told of a message that it knows the id of. */
export interface KnownMessage {
  readonly seq: number;
  readonly publishId?: string;
  readonly digest?: string;
}

export interface FoundMessage {
  readonly message: KnownMessage | null;
  /** Not found up to here, and there is more behind it: ask again after this sequence. */
  readonly searchedTo?: number;
  /** No message at all is at that sequence, of whichever team: not yet, or not any more. */
  readonly gone?: true;
}

/** The header of a record with an idempotency key that says which publish stored it. */
const PUBLISH_ID_HEADER = "Kata-Publish-Id";
/** The header of a record of several events with one idempotency key: what they are. */
const DIGEST_HEADER = "Kata-Digest";
/** One answer costs no more than so many messages and bytes read, and the one message that goes over. */
const MAX_MESSAGES = 64;
const MAX_BYTES = 4 * 1024 * 1024;

/** What publishers ask of the stream. Only its leader answers: a replica that lags would say that a message is not there. */
export async function createStoredMessages(nc: NatsConnection, timeoutMs: number) {
  const { streams } = await jetstreamManager(nc, { checkAPI: false, timeout: timeoutMs });
  return {
    async facts() {
      const { created, config, state } = await streams.info(STREAM);
      // JetStream counts durations in nanoseconds.
      return {
        epoch: epochOf(created),
        lastSeq: state.last_seq,
        duplicateWindowMs: config.duplicate_window / 1e6,
      };
    },

    /** The message at a sequence, if it is on this subject and has this id. */
    async at(subject: string, messageId: string, seq: number): Promise<FoundMessage> {
      const message = await streams.getMessage(STREAM, { seq });
      if (message === null) return { message: null, gone: true };
      if (message.subject !== subject || !hasId(message, messageId)) return { message: null };
      return { message: known(message) };
    },

    /** The message of a subject with this id among those behind `afterSeq`. */
    async find(subject: string, messageId: string, afterSeq: number): Promise<FoundMessage> {
      const last = await streams.getMessage(STREAM, { last_by_subj: subject });
      if (last === null || last.seq <= afterSeq) return { message: null };
      if (hasId(last, messageId)) return { message: known(last) };
      let searchedTo = afterSeq;
      let bytes = last.data.length;
      for (let read = 1; read < MAX_MESSAGES && bytes < MAX_BYTES; read++) {
        // The client's types do not know `next_by_subj` here; the server does.
        const next = { seq: searchedTo + 1, next_by_subj: subject };
        const message = await streams.getMessage(STREAM, next);
        if (message === null || message.seq >= last.seq) return { message: null };
        if (hasId(message, messageId)) return { message: known(message) };
        searchedTo = message.seq;
        bytes += message.data.length;
      }
      return { message: null, searchedTo };
    },
  };
}

export type StoredMessages = Awaited<ReturnType<typeof createStoredMessages>>;

function hasId(message: StoredMsg, messageId: string): boolean {
  return message.header.get("Nats-Msg-Id") === messageId;
}

function known(message: StoredMsg): KnownMessage {
  const publishId = message.header.get(PUBLISH_ID_HEADER);
  const digest = message.header.get(DIGEST_HEADER);
  return { seq: message.seq, ...(publishId === "" ? {} : { publishId }), ...(digest === "" ? {} : { digest }) };
}
