import { type EventLog, LogUnavailableError } from "../log/event-log.ts";
import type { Channel, ChannelReader } from "./channel.ts";
import { type ChannelRecord, endOf, eventIdOf, forEachEvent } from "./channel-record.ts";
import { locate, type Start, type StartRequest } from "./locate.ts";
import { type Position, positionId } from "./position.ts";

/** A piece of a channel's history. */
export interface History {
  readonly recovery: Start["recovery"];
  readonly reason?: Start["reason"];
  /** Envelopes, in order. */
  readonly events: readonly Buffer[];
  /** The position behind them: where to go on. */
  readonly next: string;
  /** Whether more was there already. */
  readonly more: boolean;
}

export interface HistoryRequest {
  readonly start: StartRequest;
  /** At most so many events. */
  readonly limit: number;
  /** No further record once the envelopes have so many bytes; one record is always given. */
  readonly maxBytes: number;
  /** When nobody waits for it any more. */
  readonly signal: AbortSignal;
}

/** So many records are looked at for one piece: they may hold no event at all, and then there is nothing else that ends it. */
const MAX_RECORDS = 5_000;

/**
 * Reads what follows a start, from memory or from the log like any reader.
 *
 * @throws LogUnavailableError while the log cannot answer, or if it turned out to be another one meanwhile: ask again
 */
export async function readHistory(
  log: EventLog,
  channel: Channel,
  reader: ChannelReader,
  request: HistoryRequest,
): Promise<History> {
  await channel.settled(reader);
  if (request.signal.aborted) throw new LogUnavailableError("nobody waits for it any more");
  const { life } = channel;
  const start = await locate(log, channel, request.start, () => request.signal.aborted);
  const reading = new Reading(request, start);
  if (start.rest !== undefined) reading.add(start.rest.record, start.rest.afterLine);
  let { position } = start;
  let known = start.first;
  while (!reading.full) {
    // In one tick with the look at memory: whether the channel is whole up to there.
    const recent = channel.life === life ? channel.after(position) : undefined;
    const end = later(channel, position);
    if (known === undefined && recent?.length === 0 && !(await isMore(log, channel, position)))
      return reading.end(false, end);
    const records = known ?? (recent?.length ? recent : await channel.pages.read(channel.epoch, position));
    known = undefined;
    if (channel.life !== life) throw new LogUnavailableError("the log is not the one it was");
    if (request.signal.aborted) throw new LogUnavailableError("nobody waits for it any more");
    if (typeof records === "string") {
      // What was read is whole; whoever goes on behind it is told.
      if (!reading.empty) return reading.end(true);
      return readHistory(log, channel, reader, { ...request, start: { kind: "gap", reason: records } });
    }
    for (const record of records) {
      if (reading.full) break;
      reading.add(record, -1);
      position = endOf(record);
    }
  }
  return reading.end(reading.cut || channel.after(position)?.length !== 0 || (await isMore(log, channel, position)));
}

/** Whether the log has more than the live feed has brought: what was acknowledged before the request is in the answer. */
async function isMore(log: EventLog, channel: Channel, { seq }: Position): Promise<boolean> {
  const newest = await channel.shared("newest", () => log.head(channel.subject));
  return newest !== undefined && newest.seq > seq;
}

/** The end of a channel that is quiet does not grow old: the place up to which it is known to be complete. */
function later({ epoch, mark }: Channel, position: Position): string {
  return positionId(epoch, mark.seq > position.seq ? mark : position);
}

class Reading {
  readonly #request: HistoryRequest;
  readonly #start: Start;
  readonly #events: Buffer[] = [];
  #bytes = 0;
  #records = 0;
  #next: string;
  #cut = false;

  constructor(request: HistoryRequest, start: Start) {
    this.#request = request;
    this.#start = start;
    this.#next = start.eventId;
  }

  get empty(): boolean {
    return this.#records === 0;
  }

  get full(): boolean {
    const { limit, maxBytes } = this.#request;
    return this.#events.length >= limit || this.#bytes >= maxBytes || this.#records >= MAX_RECORDS;
  }

  /** Whether the last record did not fit in whole. */
  get cut(): boolean {
    return this.#cut;
  }

  add(record: ChannelRecord, afterLine: number): void {
    this.#records++;
    forEachEvent(record, afterLine, (envelope, line) => {
      if (this.#events.length < this.#request.limit) {
        this.#events.push(envelope);
        this.#bytes += envelope.length;
        if (this.#events.length === this.#request.limit) this.#next = eventIdOf(record, line);
      } else {
        this.#cut = true;
      }
    });
    if (!this.#cut) this.#next = eventIdOf(record, record.lastLine);
  }

  end(more: boolean, next = this.#next): History {
    const { recovery, reason } = this.#start;
    return { recovery, ...(reason === undefined ? {} : { reason }), events: this.#events, next, more };
  }
}
