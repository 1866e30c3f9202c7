import { encodeEvent, parseChannel, subjectOf } from "@kata/protocol/wire";
import { createPublisher, type EventInput } from "@kata/publisher";
import { jetstream } from "@nats-io/jetstream";
import { connect, createInbox, headers, type NatsConnection, nuid } from "@nats-io/transport-node";
import { inboxPrefixOf } from "../../broker/src/callout/permissions.ts";

/** A way to get an event into the log and to know that it is there. */
export interface PublishSystem extends AsyncDisposable {
  /** Resolves when the log has the event; rejects if it cannot say so. */
  publish(channel: string, event: EventInput): Promise<unknown>;
  /** The same for several events of a channel, where the system has such a call. */
  publishMany?(channel: string, events: readonly EventInput[]): Promise<unknown>;
}

export type SystemName = "kata" | "kata publishMany" | "nats.js" | "nats.js untraced" | "core";

/** Where events go and as whom: all systems come in by the same door, with the same API key. */
export interface Target {
  /** For `kata`: NATS, or a broker's HTTP. */
  readonly url: string;
  readonly natsUrl: string;
  readonly apiKey: string;
  readonly teamId: string;
  readonly stream: string;
}

/** The systems that are compared. */
export const SYSTEMS: Readonly<Record<SystemName, (target: Target) => Promise<PublishSystem>>> = {
  /** The publisher SDK. */
  kata: async ({ url, apiKey }) => {
    const publisher = await createPublisher({ url, apiKey });
    return {
      publish: (channel, event) => publisher.publish(channel, event),
      [Symbol.asyncDispose]: () => publisher.close(),
    };
  },
  /** The same for whoever has several events at once, as from a chunk of a log. */
  "kata publishMany": ({ url, apiKey }) => createPublisher({ url, apiKey }),
  /** What an application writes with nats.js: a message an event, without a message id, so that a retry would store it twice. */
  "nats.js": (target) => natsJs(target, true),
  /** The same without the stack trace that nats.js takes for each request unless it is told not to. */
  "nats.js untraced": (target) => natsJs(target, false),
  /** The least that gives what Kata gives for one event: a core message with a message id, and its acknowledgement on an inbox. */
  core: async (target) => {
    const nc = await connectAs(target, false);
    const inbox = `${createInbox(inboxPrefixOf(target.apiKey))}.`;
    const waiting = new Map<string, { resolve: (ack: unknown) => void; reject: (error: Error) => void }>();
    nc.subscribe(`${inbox}*`, {
      callback: (error, msg) => {
        if (error !== null) return;
        const token = msg.subject.slice(inbox.length);
        const wait = waiting.get(token);
        waiting.delete(token);
        const ack = msg.data.length === 0 ? {} : msg.json<{ seq?: number }>();
        if (ack.seq === undefined) wait?.reject(new Error(`the log refused an event: ${msg.string()}`));
        else wait?.resolve(ack);
      },
    });
    let tokens = 0;
    return {
      publish: (channel, event) =>
        new Promise((resolve, reject) => {
          const token = (tokens++).toString(36);
          const hdrs = headers();
          hdrs.set("Nats-Msg-Id", nuid.next());
          hdrs.set("Nats-Expected-Stream", target.stream);
          waiting.set(token, { resolve, reject });
          nc.publish(subjectFor(channel, target.teamId), lineOf(event), { headers: hdrs, reply: inbox + token });
        }),
      [Symbol.asyncDispose]: () => nc.close(),
    };
  },
};

async function natsJs(target: Target, traced: boolean): Promise<PublishSystem> {
  const nc = await connectAs(target, traced);
  const js = jetstream(nc);
  return {
    publish: (channel, event) => js.publish(subjectFor(channel, target.teamId), lineOf(event)),
    [Symbol.asyncDispose]: () => nc.close(),
  };
}

function connectAs({ natsUrl, apiKey }: Target, traced: boolean): Promise<NatsConnection> {
  return connect({ servers: natsUrl, token: apiKey, inboxPrefix: inboxPrefixOf(apiKey), noAsyncTraces: !traced });
}

function subjectFor(channel: string, teamId: string): string {
  const parsed = parseChannel(channel);
  if (parsed === undefined) throw new TypeError(`${channel} is no channel`);
  return subjectOf(parsed, teamId);
}

/** The same bytes that Kata stores. */
function lineOf({ type, payload }: EventInput): string {
  const line = encodeEvent(type, new Date().toISOString(), payload);
  if (line === undefined) throw new TypeError("the payload has no JSON form");
  return line;
}
