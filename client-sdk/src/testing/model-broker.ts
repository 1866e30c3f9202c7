import { BEARER_PREFIX, type InboundCommand, parseEventId, SUBPROTOCOL_NDJSON } from "@kata/protocol/wire";
import type { OpenSocket, SocketListener } from "../socket.ts";
import * as say from "./messages.ts";

type Subscribe = Extract<InboundCommand, { type: "subscribe" }>;

interface Stored {
  readonly channel: string;
  readonly epoch: string;
  readonly seq: number;
  readonly eventIds: readonly string[];
}

interface Place {
  readonly epoch: string;
  readonly seq: number;
  readonly n: number;
}

interface Reader {
  place: Place;
  caughtUp: boolean;
}

/** One connection: nothing moves on it until the schedule says so. */
class Line {
  readonly listener: SocketListener;
  readonly inbox: InboundCommand[] = [];
  readonly outbox: string[] = [];
  readonly readers = new Map<string, Reader>();
  opened = false;
  constructor(listener: SocketListener) {
    this.listener = listener;
  }
}

/**
 * The broker of PROTOCOL.md with everything that costs it time taken out of its hands: each step (reading a command,
 * sending a page, letting frames arrive) happens when the test says so, and a connection can be cut between any two.
 */
export class ModelBroker {
  /** Everything ever stored, per channel, in order, trimmed or not. */
  readonly history = new Map<string, string[]>();
  connections = 0;
  /** Every token that a connection was opened with or that was offered on one, in order. */
  readonly presented: string[] = [];
  #epoch = 1;
  #seq = 0;
  #log: Stored[] = [];
  /** The first sequence that is not trimmed. */
  #first = 1;
  /** Which event was the last of the last record that was trimmed. */
  #lastTrimmed = 0;
  #line: Line | undefined;
  #refuseNext = false;

  readonly openSocket: OpenSocket = (_url, protocols, listener) => {
    const bearer = protocols.find((one) => one.startsWith(BEARER_PREFIX));
    if (bearer !== undefined) this.presented.push(bearer.slice(BEARER_PREFIX.length));
    const line = new Line(listener);
    this.#line = line;
    const letGo = () => {
      if (this.#line === line) this.#line = undefined;
    };
    return { send: (text) => line.inbox.push(JSON.parse(text) as InboundCommand), close: letGo, drop: letGo };
  };

  /** One record of `count` events. */
  publish(channel: string, count: number): void {
    const seq = ++this.#seq;
    const epoch = this.#name();
    const eventIds = Array.from({ length: count }, (_, n) => say.at(seq, n, epoch));
    this.#log.push({ channel, epoch, seq, eventIds });
    this.history.set(channel, [...(this.history.get(channel) ?? []), ...eventIds]);
  }

  /** The oldest `count` records are removed: [RESUME-4] expired. */
  trim(count: number): void {
    this.#first = Math.min(this.#first + count, this.#seq + 1);
    const last = this.#log.find(({ seq }) => seq === this.#first - 1);
    if (last !== undefined) this.#lastTrimmed = last.eventIds.length - 1;
    this.#log = this.#log.filter(({ seq }) => seq >= this.#first);
  }

  /** The stream is made anew: [RESUME-4] reset. */
  reset(): void {
    this.#epoch++;
    this.#seq = 0;
    this.#first = 1;
    this.#lastTrimmed = 0;
    this.#log = [];
  }

  /** The connection opens, or reads its next command. */
  read(): void {
    const line = this.#line;
    if (line === undefined) return;
    if (!line.opened) {
      line.opened = true;
      this.connections++;
      line.listener.opened(SUBPROTOCOL_NDJSON);
      return;
    }
    const command = line.inbox.shift();
    if (command !== undefined) this.#answer(line, command);
  }

  /** Sends up to `count` records, or `caught_up`, to each reader; `perFrame` envelopes share a frame. */
  pump(count: number, perFrame: number): void {
    const line = this.#line;
    if (line === undefined) return;
    for (const [channel, reader] of line.readers) {
      const gone = this.#goneFor(reader.place);
      if (gone !== undefined) {
        // [RESUME-6]
        this.#start(line, channel, { recovery: "gap", reason: gone });
        continue;
      }
      const next = this.#after(channel, reader.place).slice(0, count);
      if (next.length === 0 && !reader.caughtUp) {
        reader.caughtUp = true;
        this.#send(line, [say.caughtUp(channel, this.#idOf(reader.place))]);
      }
      for (let i = 0; i < next.length; i += perFrame) {
        this.#send(
          line,
          next.slice(i, i + perFrame).map((eventId) => say.event(channel, eventId)),
        );
      }
      const last = parseEventId(next.at(-1));
      if (last !== undefined) reader.place = last;
    }
  }

  /** Lets `count` frames arrive. */
  deliver(count: number): void {
    for (let i = 0; i < count; i++) {
      const line = this.#line;
      const frame = line?.outbox.shift();
      if (frame === undefined) return;
      line?.listener.frame(frame);
    }
  }

  /** The next subscribe, or auth, is refused for now: [SUBSCRIBE-7]. */
  refuseNext(): void {
    this.#refuseNext = true;
  }

  /** Ends the connection; what has not arrived never will. */
  cut(code = 1006): void {
    const line = this.#line;
    this.#line = undefined;
    line?.listener.closed(code, "cut");
  }

  /** [CLOSE-3] */
  restart(afterMs: number): void {
    const line = this.#line;
    if (line?.opened !== true) return;
    line.listener.frame(JSON.stringify(say.reconnect(afterMs)));
    this.cut(4412);
  }

  /** [AUTH-3] The token is about to expire. */
  warn(): void {
    if (this.#line?.opened === true) this.#send(this.#line, [say.tokenExpiring()]);
  }

  /** [AUTH-3] It has expired: what was sent before arrives, then the end. */
  expire(): void {
    if (this.#line?.opened !== true) return;
    this.#send(this.#line, [say.error("token_expired", true)]);
    this.deliver(Number.MAX_SAFE_INTEGER);
    this.cut(4401);
  }

  /** Faults that no right broker has, and that must cost nothing: a frame once more, a frame broken in the middle. */
  repeatFrame(): void {
    const frame = this.#line?.outbox[0];
    if (frame?.includes('"log_entry"')) this.#line?.outbox.splice(1, 0, frame);
  }

  /** Cut inside an envelope: a frame that ends between two is a right one with fewer, and nobody could tell. */
  garble(at: number): void {
    const frame = this.#line?.outbox[0];
    if (this.#line === undefined || frame === undefined || frame.length < 2) return;
    const cut = 1 + (at % (frame.length - 1));
    const between = frame[cut] === "\n" ? 1 : frame[cut - 1] === "\n" ? 2 : 0;
    this.#line.outbox[0] = frame.slice(0, cut - between);
  }

  #answer(line: Line, command: InboundCommand): void {
    switch (command.type) {
      case "ping":
        return this.#send(line, [say.pong(this.#complete(line), command.id)]);
      case "subscribe":
        return this.#subscribe(line, command);
      case "unsubscribe": {
        const { channel, id } = command;
        if (!line.readers.delete(channel)) {
          return this.#send(line, [say.error("not_subscribed", false, { id, channel })]);
        }
        return this.#send(line, [say.unsubscribed(channel, say.at(0), id)]);
      }
      case "auth":
        this.presented.push(command.token);
        if (!this.#refuseNext) return this.#send(line, [say.authenticated(command.id)]);
        this.#refuseNext = false;
        return this.#send(line, [say.error("token_expired", true, { id: command.id })]);
    }
  }

  #subscribe(line: Line, { channel, id, lastEventId, rewind }: Subscribe): void {
    if (line.readers.has(channel)) throw new Error("a client must not subscribe a channel that it holds");
    if (this.#refuseNext) {
      this.#refuseNext = false;
      return this.#send(line, [say.error("unavailable", true, { id, channel })]);
    }
    if (lastEventId === undefined) {
      return this.#start(line, channel, { recovery: "fresh", id }, rewind === "all" ? this.#first - 1 : this.#seq);
    }
    const place = parseEventId(lastEventId);
    if (place === undefined) throw new Error("a client must resume from a position that it was given");
    const gone = this.#goneFor(place);
    if (gone !== undefined) return this.#start(line, channel, { recovery: "gap", reason: gone, id });
    line.readers.set(channel, { place, caughtUp: false });
    this.#send(line, [say.subscribed(channel, lastEventId, { recovery: "complete", id })]);
  }

  #start(line: Line, channel: string, payload: Record<string, unknown>, seq = this.#first - 1): void {
    const place = { epoch: this.#name(), seq, n: Number.MAX_SAFE_INTEGER };
    line.readers.set(channel, { place, caughtUp: false });
    this.#send(line, [say.subscribed(channel, this.#idOf(place), payload)]);
  }

  #goneFor(place: Place): "reset" | "expired" | undefined {
    if (place.epoch !== this.#name()) return "reset";
    if (place.seq >= this.#first) return undefined;
    // Right before the first that is left nothing is missing, unless the anchor's own record went on behind it.
    return place.seq === this.#first - 1 && place.n >= this.#lastTrimmed ? undefined : "expired";
  }

  #after(channel: string, place: Place): string[] {
    return this.#log
      .filter((record) => record.channel === channel && record.seq >= place.seq)
      .flatMap(({ seq, eventIds }) => (seq === place.seq ? eventIds.slice(place.n + 1) : eventIds));
  }

  /** [PING-1] Up to where every reader that was told `caught_up` has been sent everything. */
  #complete(line: Line): string {
    let complete = this.#seq;
    for (const [channel, { caughtUp, place }] of line.readers) {
      if (!caughtUp) continue;
      if (this.#goneFor(place) !== undefined) return "0-0-0000";
      if (this.#after(channel, place).length > 0) complete = Math.min(complete, place.seq - 1);
    }
    return complete <= 0 ? "0-0-0000" : say.at(complete, 0, this.#name());
  }

  #idOf({ epoch, seq, n }: Place): string {
    return say.at(seq, n === Number.MAX_SAFE_INTEGER ? 0 : n, epoch);
  }

  #name(): string {
    return `e${this.#epoch}`;
  }

  #send(line: Line, messages: readonly object[]): void {
    line.outbox.push(messages.map((message) => JSON.stringify(message)).join("\n"));
  }
}
