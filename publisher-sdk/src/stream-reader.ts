import { epochOf } from "@kata/protocol/wire";
import { type NatsConnection, RequestError, TimeoutError } from "@nats-io/transport-node";

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
  readonly header: (name: string) => string | undefined;
}

interface ApiAnswer {
  readonly error?: { readonly err_code?: number; readonly description?: string };
  readonly created?: string;
  readonly config?: { readonly duplicate_window?: number };
  readonly state?: { readonly last_seq: number };
  readonly message?: { readonly seq: number; readonly hdrs?: string };
}

const NO_MESSAGE = 10037;

/**
 * What a publisher has to ask the stream besides publishing. Only the leader answers these requests (a direct get
 * may come from a replica that lags). Each rejects with an Error of one clear line if there is no answer.
 */
export class StreamReader {
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

  /** The message at a sequence; `undefined` if it is not there (any more). */
  at(seq: number): Promise<StoredMessage | undefined> {
    return this.#get({ seq });
  }

  /** The message of a subject with this `Nats-Msg-Id` among those behind `afterSeq`. */
  async find(subject: string, messageId: string, afterSeq: number): Promise<StoredMessage | undefined> {
    const last = await this.#get({ last_by_subj: subject });
    if (last === undefined || last.seq <= afterSeq) return undefined;
    if (last.header("Nats-Msg-Id") === messageId) return last;
    for (let seq = afterSeq + 1; seq < last.seq; ) {
      const message = await this.#get({ seq, next_by_subj: subject });
      if (message === undefined || message.seq >= last.seq) return undefined;
      if (message.header("Nats-Msg-Id") === messageId) return message;
      seq = message.seq + 1;
    }
    return undefined;
  }

  async #get(query: {
    seq?: number;
    last_by_subj?: string;
    next_by_subj?: string;
  }): Promise<StoredMessage | undefined> {
    const answer = await this.#ask("MSG.GET", query);
    if (answer.message !== undefined) {
      const { seq, hdrs } = answer.message;
      const block = hdrs === undefined ? "" : Buffer.from(hdrs, "base64").toString();
      return { seq, header: (name) => headerOf(block, name) };
    }
    if (answer.error?.err_code === NO_MESSAGE) return undefined;
    throw new Error(`stream ${this.#stream}: ${answer.error?.description ?? "unreadable answer"}`);
  }

  async #ask(verb: "INFO" | "MSG.GET", body: object | undefined): Promise<ApiAnswer> {
    const subject = `$JS.API.STREAM.${verb}.${this.#stream}`;
    try {
      const msg = await this.#nc.request(subject, body === undefined ? "" : JSON.stringify(body), {
        timeout: this.#timeoutMs,
      });
      return msg.json<ApiAnswer>();
    } catch (error) {
      throw new Error(whyNot(error, subject), { cause: error });
    }
  }
}

function whyNot(error: unknown, subject: string): string {
  if (error instanceof TimeoutError) return "NATS does not answer";
  if (error instanceof RequestError && error.isNoResponders()) return "JetStream is off, or has no leader now";
  return `${subject}: ${error instanceof Error ? error.message : String(error)}`;
}

/** A value from a NATS header block; names are compared as the server does, exactly. */
function headerOf(block: string, name: string): string | undefined {
  for (const line of block.split("\r\n")) {
    if (line.startsWith(`${name}:`)) return line.slice(name.length + 1).trim();
  }
  return undefined;
}
