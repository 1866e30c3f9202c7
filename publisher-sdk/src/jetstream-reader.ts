import { epochOf } from "@kata/protocol/wire";
import type { NatsConnection } from "@nats-io/transport-node";
import { ask } from "./ask.ts";
import {
  DIGEST_HEADER,
  PUBLISH_ID_HEADER,
  type StoredMessage,
  type StreamFacts,
  type StreamReader,
} from "./stream-reader.ts";

interface ApiAnswer {
  readonly error?: { readonly err_code?: number; readonly description?: string };
  readonly created?: string;
  readonly config?: { readonly duplicate_window?: number };
  readonly state?: { readonly last_seq: number };
  readonly message?: { readonly seq: number; readonly subject: string; readonly hdrs?: string };
}

interface Message extends StoredMessage {
  readonly subject: string;
  readonly messageId: string | undefined;
}

const NO_MESSAGE = 10037;

/** Asks JetStream itself: for a NATS user that may, in the account of the log. */
export class JetStreamReader implements StreamReader {
  readonly #nc: NatsConnection;
  readonly #stream: string;
  readonly #timeoutMs: number;

  constructor(nc: NatsConnection, stream: string, timeoutMs: number) {
    this.#nc = nc;
    this.#stream = stream;
    this.#timeoutMs = timeoutMs;
  }

  async facts(): Promise<StreamFacts> {
    const answer = await this.#ask("INFO", undefined);
    const { created, config, state } = answer;
    if (created === undefined || config?.duplicate_window === undefined || state === undefined) {
      throw new Error(`stream ${this.#stream}: ${answer.error?.description ?? "unreadable answer"}`);
    }
    // JetStream counts durations in nanoseconds.
    return { epoch: epochOf(created), lastSeq: state.last_seq, duplicateWindowMs: config.duplicate_window / 1e6 };
  }

  async at(seq: number, subject: string, messageId: string): Promise<StoredMessage | "gone" | undefined> {
    const message = await this.#get({ seq });
    if (message === undefined) return "gone";
    return message.subject === subject && message.messageId === messageId ? message : undefined;
  }

  async find(subject: string, messageId: string, afterSeq: number): Promise<StoredMessage | undefined> {
    const last = await this.#get({ last_by_subj: subject });
    if (last === undefined || last.seq <= afterSeq) return undefined;
    if (last.messageId === messageId) return last;
    for (let seq = afterSeq + 1; seq < last.seq; ) {
      const message = await this.#get({ seq, next_by_subj: subject });
      if (message === undefined || message.seq >= last.seq) return undefined;
      if (message.messageId === messageId) return message;
      seq = message.seq + 1;
    }
    return undefined;
  }

  async #get(query: { seq?: number; last_by_subj?: string; next_by_subj?: string }): Promise<Message | undefined> {
    const answer = await this.#ask("MSG.GET", query);
    if (answer.message !== undefined) {
      const { seq, subject, hdrs } = answer.message;
      const block = hdrs === undefined ? "" : Buffer.from(hdrs, "base64").toString();
      const [messageId, publishId, digest] = ["Nats-Msg-Id", PUBLISH_ID_HEADER, DIGEST_HEADER].map((name) =>
        headerOf(block, name),
      );
      return { seq, subject, messageId, publishId, digest };
    }
    if (answer.error?.err_code === NO_MESSAGE) return undefined;
    throw new Error(`stream ${this.#stream}: ${answer.error?.description ?? "unreadable answer"}`);
  }

  #ask(verb: "INFO" | "MSG.GET", body: object | undefined): Promise<ApiAnswer> {
    const subject = `$JS.API.STREAM.${verb}.${this.#stream}`;
    return ask(this.#nc, subject, body, this.#timeoutMs, "JetStream is off, or has no leader now");
  }
}

/** A value from a NATS header block; names are compared as the server does, exactly. */
function headerOf(block: string, name: string): string | undefined {
  for (const line of block.split("\r\n")) {
    if (line.startsWith(`${name}:`)) return line.slice(name.length + 1).trim();
  }
  return undefined;
}
