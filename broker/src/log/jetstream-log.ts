import { epochOf, LIVE_PREFIX, STREAM } from "@kata/protocol/wire";
import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import {
  type EventLog,
  type HeadRecord,
  type LiveFeed,
  type LiveRecord,
  type LogEvent,
  type LogPage,
  type LogState,
  LogUnavailableError,
  type PageRequest,
  type RecordMark,
  type StoredRecord,
} from "./event-log.ts";
import { headersOf } from "./header-block.ts";
import { type ApiMessage, type DirectAnswer, directAnswerOf, liveRecordOf, storedRecordOfApi } from "./messages.ts";
import { Replies } from "./replies.ts";

const DIRECT = `$JS.API.DIRECT.GET.${STREAM}`;
const MSG_GET = `$JS.API.STREAM.MSG.GET.${STREAM}`;
const INFO = `$JS.API.STREAM.INFO.${STREAM}`;
const CREATED_ADVISORY = `$JS.EVENT.ADVISORY.STREAM.CREATED.${STREAM}`;
const NO_MESSAGE = 10037;
/** A look at many heads comes with their whole records: so much at a time, less than what makes the server cut a connection off. */
const HEADS_BYTES = 8 * 1024 * 1024;

interface ApiAnswer {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
  readonly message?: ApiMessage;
  readonly created?: string;
  readonly state?: { readonly first_seq: number; readonly last_seq: number };
}

export interface JetStreamLogOptions {
  /** How long an answer may take, milliseconds. */
  readonly timeoutMs: number;
}

/** The log over JetStream's direct get, message get and republish. The connection stays the caller's. */
export async function createJetStreamLog(nc: NatsConnection, options: JetStreamLogOptions): Promise<EventLog> {
  const log = new JetStreamLog(nc, options.timeoutMs);
  try {
    await log.state();
  } catch (error) {
    await log.close();
    throw error;
  }
  return log;
}

class JetStreamLog implements EventLog {
  readonly #nc: NatsConnection;
  readonly #replies: Replies;
  readonly #advisories: Subscription;
  readonly #listeners = new Set<(event: LogEvent) => void>();
  #epoch = "";
  #askedStates = 0;
  #answeredStates = 0;
  #connected = true;
  #closed = false;

  constructor(nc: NatsConnection, timeoutMs: number) {
    this.#nc = nc;
    this.#replies = new Replies(nc, timeoutMs);
    // A stream that is deleted and made anew announces itself; without the advisory the next audit would find out.
    this.#advisories = nc.subscribe(CREATED_ADVISORY, { callback: () => void this.state().catch(() => undefined) });
    void this.#watch();
  }

  get epoch(): string {
    return this.#epoch;
  }

  get connected(): boolean {
    return this.#connected && !this.#closed;
  }

  async state(): Promise<LogState> {
    const asked = ++this.#askedStates;
    const answer = await this.#api(INFO, "");
    if (answer.created === undefined || answer.state === undefined) {
      throw new LogUnavailableError(`stream ${STREAM}: ${answer.error?.description ?? "unreadable answer"}`);
    }
    const epoch = epochOf(answer.created);
    // An answer that was overtaken by a later one says nothing of the present.
    if (asked > this.#answeredStates) {
      this.#answeredStates = asked;
      const recreated = this.#epoch !== "" && this.#epoch !== epoch;
      this.#epoch = epoch;
      if (recreated) this.#tell("recreated");
    }
    // A stream that never held anything says 0.
    return { epoch, firstSeq: Math.max(1, answer.state.first_seq), lastSeq: answer.state.last_seq };
  }

  head(subject: string): Promise<HeadRecord | undefined> {
    return this.#leaderGet({ last_by_subj: subject });
  }

  async at(seq: number): Promise<StoredRecord | undefined> {
    if (seq < 1) return undefined;
    let found: StoredRecord | undefined;
    await this.#direct({ seq }, ({ record }) => {
      found = record;
      return "done";
    });
    // A replica that lags does not have it yet: only the leader can say no.
    return found ?? this.#leaderGet({ seq });
  }

  async read(request: PageRequest): Promise<LogPage> {
    const { from, subject, records: batch, bytes } = request;
    const start = "seq" in from ? { seq: from.seq } : { start_time: new Date(from.timeMs).toISOString() };
    const records: StoredRecord[] = [];
    let pending = 0;
    // For the server 0 is no bound.
    await this.#directBatch({ ...start, next_by_subj: subject, batch, max_bytes: Math.max(1, bytes) }, (answer) => {
      pending = answer.pending;
      if (answer.record === undefined) return "done";
      records.push(answer.record);
      return "more";
    });
    return { records, pending };
  }

  async heads(subjects: readonly string[], upToSeq: number): Promise<ReadonlyMap<string, RecordMark>> {
    const heads = new Map<string, RecordMark>();
    // For the server 0 is the end.
    let missing = upToSeq < 1 ? [] : [...subjects];
    while (missing.length > 0) {
      let pending = 0;
      const before = heads.size;
      await this.#directBatch({ multi_last: missing, up_to_seq: upToSeq, max_bytes: HEADS_BYTES }, (answer) => {
        if (answer.record !== undefined) {
          const { seq, check, subject } = answer.record;
          heads.set(subject, { seq, check });
          return "more";
        }
        pending = answer.pending;
        return "done";
      });
      // The server ends an answer that gets too long; the rest has to be asked for.
      if (pending === 0) break;
      if (heads.size === before) throw new LogUnavailableError("the log gives an answer no end");
      missing = missing.filter((subject) => !heads.has(subject));
    }
    return heads;
  }

  async live(subject: string, onRecord: (record: LiveRecord | undefined) => void): Promise<LiveFeed> {
    if (!this.connected) throw new LogUnavailableError("NATS is not connected");
    let subscription: Subscription | undefined;
    const close = () => {
      if (!this.#nc.isClosed()) subscription?.unsubscribe();
    };
    try {
      subscription = this.#nc.subscribe(LIVE_PREFIX + subject, {
        callback: (error, msg) => {
          if (error === null) onRecord(liveRecordOf(msg));
        },
      });
      await this.#nc.flush();
    } catch (error) {
      close();
      throw new LogUnavailableError("NATS did not confirm a subscription", { cause: error });
    }
    return { close };
  }

  listen(listener: (event: LogEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    this.#replies.close();
    if (!this.#nc.isClosed()) this.#advisories.unsubscribe();
  }

  async #leaderGet(query: { seq: number } | { last_by_subj: string }): Promise<HeadRecord | undefined> {
    const answer = await this.#api(MSG_GET, JSON.stringify(query));
    if (answer.message !== undefined) return storedRecordOfApi(answer.message);
    if (answer.error?.err_code === NO_MESSAGE) return undefined;
    throw new LogUnavailableError(`stream ${STREAM}: ${answer.error?.description ?? "unreadable answer"}`);
  }

  /** A direct get: `each` is called with its answers until it is done with them. */
  #direct(query: object, each: (answer: DirectAnswer) => "more" | "done"): Promise<void> {
    return this.#ask(DIRECT, JSON.stringify(query), (msg) => {
      const answer = directAnswerOf(msg);
      if (answer.record === undefined && answer.status !== 204 && answer.status !== 404) throw unusable(answer);
      return each(answer);
    });
  }

  /** One that is answered in several pieces. On their way through a cluster one of them can get lost: each names the one before. */
  #directBatch(query: object, each: (answer: DirectAnswer) => "more" | "done"): Promise<void> {
    let last = 0;
    return this.#direct(query, (answer) => {
      if (answer.after !== undefined && answer.after !== last)
        throw new LogUnavailableError("a piece of an answer got lost");
      last = answer.record?.seq ?? last;
      return each(answer);
    });
  }

  async #api(subject: string, body: string): Promise<ApiAnswer> {
    let text = "";
    await this.#ask(subject, body, (msg) => {
      const { status, description } = headersOf(msg);
      if (status !== undefined) throw unusable({ status, description });
      text = msg.string();
      return "done";
    });
    try {
      return JSON.parse(text) as ApiAnswer;
    } catch (error) {
      throw new LogUnavailableError("NATS gave an answer that is no JSON", { cause: error });
    }
  }

  /** Never while disconnected: the client library would send the question late, and nobody would wait for the answer. */
  async #ask(subject: string, body: string, handler: (msg: Msg) => "more" | "done"): Promise<void> {
    if (!this.connected) throw new LogUnavailableError("NATS is not connected");
    await this.#replies.ask(subject, body, handler);
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nc.status()) {
      if (this.#closed) return;
      if (status.type === "disconnect" && this.#connected) {
        this.#connected = false;
        this.#replies.fail(new LogUnavailableError("the connection to NATS was lost"));
        this.#tell("disconnected");
      } else if (status.type === "reconnect") {
        this.#connected = true;
        this.#tell("reconnected");
      }
    }
  }

  #tell(event: LogEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function unusable({ status, description }: { status: number; description: string }): LogUnavailableError {
  if (status === 503) return new LogUnavailableError(`the log has no leader, or there is no stream ${STREAM}`);
  return new LogUnavailableError(`the log answered ${status} ${description}`);
}
