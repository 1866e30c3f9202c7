import { epochOf, LIVE_PREFIX, STREAM } from "@kata/protocol/wire";
import { type Msg, type MsgHdrs, MsgHdrsImpl, type NatsConnection } from "@nats-io/transport-node";
import {
  type EventLog,
  type LiveFeed,
  type LiveRecord,
  type LogEvent,
  type LogPage,
  type LogState,
  LogUnavailableError,
  type PageRequest,
  type StoredRecord,
} from "./event-log.ts";
import { type ApiMessage, liveRecordOf, pendingOf, storedRecordOf, storedRecordOfApi } from "./messages.ts";
import { Replies } from "./replies.ts";

const DIRECT = `$JS.API.DIRECT.GET.${STREAM}`;
const MSG_GET = `$JS.API.STREAM.MSG.GET.${STREAM}`;
const INFO = `$JS.API.STREAM.INFO.${STREAM}`;
const CREATED_ADVISORY = `$JS.EVENT.ADVISORY.STREAM.CREATED.${STREAM}`;
const NO_MESSAGE = 10037;

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
  readonly #listeners = new Set<(event: LogEvent) => void>();
  #epoch = "";
  #connected = true;
  #closed = false;

  constructor(nc: NatsConnection, timeoutMs: number) {
    this.#nc = nc;
    this.#replies = new Replies(nc, timeoutMs);
    // A stream that is deleted and made anew announces itself; without the advisory the next audit would find out.
    nc.subscribe(CREATED_ADVISORY, { callback: () => void this.state().catch(() => undefined) });
    void this.#watch();
  }

  get epoch(): string {
    return this.#epoch;
  }

  get connected(): boolean {
    return this.#connected && !this.#closed;
  }

  async state(): Promise<LogState> {
    const answer = await this.#api(INFO, "");
    if (answer.created === undefined || answer.state === undefined) {
      throw new LogUnavailableError(`stream ${STREAM}: ${answer.error?.description ?? "unreadable answer"}`);
    }
    const epoch = epochOf(answer.created);
    const recreated = this.#epoch !== "" && this.#epoch !== epoch;
    this.#epoch = epoch;
    if (recreated) this.#tell("recreated");
    return { epoch, firstSeq: answer.state.first_seq, lastSeq: answer.state.last_seq };
  }

  head(subject: string): Promise<StoredRecord | undefined> {
    return this.#leaderGet({ last_by_subj: subject });
  }

  async at(seq: number): Promise<StoredRecord | undefined> {
    let record: StoredRecord | undefined;
    await this.#ask(DIRECT, JSON.stringify({ seq }), (msg) => {
      if (statusOf(msg) === undefined) record = storedRecordOf(msg);
      return "done";
    });
    // A replica that lags does not have it yet: only the leader can say no.
    return record ?? this.#leaderGet({ seq });
  }

  async read(request: PageRequest): Promise<LogPage> {
    const records: StoredRecord[] = [];
    let pending = 0;
    const start =
      "seq" in request.from ? { seq: request.from.seq } : { start_time: new Date(request.from.timeMs).toISOString() };
    const body = JSON.stringify({
      ...start,
      next_by_subj: request.subject,
      batch: request.records,
      max_bytes: request.bytes,
    });
    await this.#ask(DIRECT, body, (msg) => {
      const status = statusOf(msg);
      if (status === undefined) {
        const record = storedRecordOf(msg);
        if (record !== undefined) records.push(record);
        pending = pendingOf(msg);
        return "more";
      }
      if (status === 204) pending = pendingOf(msg);
      return "done";
    });
    return { records, pending };
  }

  async heads(subjects: readonly string[], upToSeq: number): Promise<ReadonlyMap<string, number>> {
    const heads = new Map<string, number>();
    const body = JSON.stringify({ multi_last: subjects, up_to_seq: upToSeq });
    await this.#ask(DIRECT, body, (msg) => {
      if (statusOf(msg) !== undefined) {
        // A replica that has not got that far would report heads that are too old.
        const reached = Number(msg.headers?.last("Nats-UpTo-Sequence") || upToSeq);
        if (reached < upToSeq) throw new LogUnavailableError("a replica of the log lags behind");
        return "done";
      }
      const record = storedRecordOf(msg);
      if (record !== undefined) heads.set(record.subject, record.seq);
      return "more";
    });
    return heads;
  }

  async live(subject: string, onRecord: (record: LiveRecord) => void): Promise<LiveFeed> {
    const subscription = this.#nc.subscribe(LIVE_PREFIX + subject, {
      callback: (error, msg) => {
        if (error !== null) return;
        const record = liveRecordOf(msg);
        if (record !== undefined) onRecord(record);
      },
    });
    try {
      await this.#nc.flush();
    } catch (error) {
      subscription.unsubscribe();
      throw new LogUnavailableError("NATS did not confirm a subscription", { cause: error });
    }
    return {
      close: () => {
        if (!this.#nc.isClosed()) subscription.unsubscribe();
      },
    };
  }

  listen(listener: (event: LogEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    this.#replies.close();
  }

  async #leaderGet(query: { seq: number } | { last_by_subj: string }): Promise<StoredRecord | undefined> {
    const answer = await this.#api(MSG_GET, JSON.stringify(query));
    if (answer.message !== undefined) return storedRecordOfApi(answer.message, decodeHeaders);
    if (answer.error?.err_code === NO_MESSAGE) return undefined;
    throw new LogUnavailableError(`stream ${STREAM}: ${answer.error?.description ?? "unreadable answer"}`);
  }

  async #api(subject: string, body: string): Promise<ApiAnswer> {
    let msg: Msg | undefined;
    await this.#ask(subject, body, (answer) => {
      statusOf(answer);
      msg = answer;
      return "done";
    });
    try {
      return (msg as Msg | undefined)?.json<ApiAnswer>() ?? {};
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

/** The status of a message that is no record; `undefined` for a record. Throws if nobody is there to answer. */
function statusOf(msg: Msg): number | undefined {
  const code = msg.headers?.code ?? 0;
  if (code === 0) return undefined;
  if (code === 503) throw new LogUnavailableError(`the log has no leader, or there is no stream ${STREAM}`);
  if (code === 204 || code === 404) return code;
  throw new LogUnavailableError(`the log answered ${code} ${msg.headers?.description ?? ""}`);
}

function decodeHeaders(bytes: Uint8Array): MsgHdrs {
  return MsgHdrsImpl.decode(bytes);
}
