import { checkOf, epochOf, formatEventId } from "@kata/protocol/wire";
import type { Publisher } from "@kata/publisher";
import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Random } from "../support/random.ts";

/** What readers must get of an event. */
export interface Expected {
  readonly eventId: string;
  readonly type: string;
  readonly payload: unknown;
}

let counter = 0;
/** Text that looks like framing, and characters of every length in UTF-8. */
const nextPayload = () => ({ n: ++counter, text: '}\n{"a":1}\r\n\u2028 ä€😀 "channel":"x"' });
const nextEvent = () => ({
  type: "own.type",
  timestamp: "2026-01-02T03:04:05Z",
  encoding: "json",
  payload: nextPayload(),
});

/** Fills a channel with records of all kinds; `store` returns the events that are valid, in order. */
export async function createMixture(options: {
  readonly publisher: Publisher;
  readonly nc: NatsConnection;
  readonly channel: string;
  readonly subject: string;
}): Promise<{ store(random: Random): Promise<Expected[]> }> {
  const { publisher, nc, channel, subject } = options;
  const epoch = epochOf((await (await jetstreamManager(nc)).streams.info("KATA")).created);

  /** A record of the SDK, with 1 to 30 events. */
  async function ownRecord(random: Random): Promise<Expected[]> {
    const events = Array.from({ length: 1 + Math.floor(random() ** 2 * 30) }, () => {
      return { type: "own.type", payload: nextPayload() };
    });
    const results = await publisher.publishMany(channel, events);
    return events.map((event, i) => ({ ...event, eventId: results[i]?.eventId ?? "" }));
  }

  /** What somebody stores with plain NATS tools: its lines as text, or an event where the line is a valid one. */
  async function strangersRecord(
    text: string | Uint8Array,
    lines: readonly (ReturnType<typeof nextEvent> | undefined)[],
  ) {
    const data = typeof text === "string" ? new TextEncoder().encode(text) : text;
    const { seq } = (await nc.request(subject, data)).json<{ seq: number }>();
    return lines.flatMap((event, n): Expected[] => {
      if (event === undefined) return [];
      return [{ eventId: formatEventId(epoch, seq, checkOf(data), n), type: event.type, payload: event.payload }];
    });
  }

  const strangersRecords: readonly (() => Promise<Expected[]>)[] = [
    () => {
      const event = nextEvent();
      return strangersRecord(JSON.stringify(event), [event]);
    },
    () => {
      const event = nextEvent();
      return strangersRecord(`\n${JSON.stringify(event, undefined, 2)}\n`, [event]);
    },
    () => {
      const event = nextEvent();
      return strangersRecord(JSON.stringify(event, undefined, "\t").replaceAll("\n", "\r\n"), [event]);
    },
    () => {
      const [a, b] = [nextEvent(), nextEvent()];
      return strangersRecord(`${JSON.stringify(a)}\r\n${JSON.stringify(b)}\r\n`, [a, b]);
    },
    () => {
      const [a, b] = [nextEvent(), nextEvent()];
      return strangersRecord(`${JSON.stringify(a)}\nnonsense\n\n${JSON.stringify(b)}`, [a, undefined, undefined, b]);
    },
    () => {
      // [ENVELOPE-6] It cannot pass itself off as another one.
      const event = nextEvent();
      return strangersRecord(JSON.stringify({ eventId: "0-0-0000", channel: "team:x", ...event }), [event]);
    },
    () => strangersRecord(JSON.stringify({ ...nextEvent(), payload: undefined }), [undefined]),
    () => strangersRecord(JSON.stringify({ ...nextEvent(), type: "caught_up" }), [undefined]),
    () => strangersRecord("[1, 2]", [undefined]),
    () => strangersRecord("", [undefined]),
    () => strangersRecord(Uint8Array.from([0x7b, 0xff, 0x7d]), [undefined]),
  ];

  return {
    /** Each kind of stranger's record at least once. */
    async store(random) {
      const expected: Expected[] = [];
      for (const strangersOne of strangersRecords) {
        for (let i = Math.floor(random() * 4); i > 0; i--) expected.push(...(await ownRecord(random)));
        expected.push(...(await strangersOne()));
      }
      return expected;
    },
  };
}
