import { connect, type NatsConnection } from "@nats-io/transport-node";
import { expect, vi } from "vitest";
import { inboxPrefixOf } from "../../broker/src/callout/permissions.ts";
import { connectRaw, type RawClient, RefusedUpgrade } from "../support/raw-client.ts";
import { type MatrixBroker, PATIENCE } from "./matrix-rig.ts";

/** A connection that a test opened with a credential, and what has become of it. */
export interface Held extends AsyncDisposable {
  readonly name: string;
  /** How it ended: a close code, `ended`; `undefined` while it is open. */
  ending(): string | undefined;
  /** When it ended, milliseconds since 1970. */
  endedAt(): number;
}

function held(name: string, ended: Promise<string>, end: () => PromiseLike<void> | void): Held {
  let ending: string | undefined;
  let at = 0;
  void ended.then((how) => {
    ending = how;
    at = Date.now();
  });
  return {
    name,
    ending: () => ending,
    endedAt: () => at,
    [Symbol.asyncDispose]: async () => await end(),
  };
}

/** A WebSocket that is subscribed to a channel. */
export interface HeldSocket extends Held {
  readonly client: RawClient;
}

export async function holdSocket(
  name: string,
  broker: MatrixBroker,
  token: string,
  channel: string,
): Promise<HeldSocket> {
  const client = await connectRaw({ wsUrl: broker.wsUrl, headers: { authorization: `Bearer ${token}` } });
  client.send({ type: "subscribe", channel });
  await client.nextOf("caught_up");
  const ended = client.closed.then(({ code }) => String(code));
  return { client, ...held(name, ended, () => client[Symbol.asyncDispose]()) };
}

/** An event stream of a channel. */
export async function holdStream(name: string, broker: MatrixBroker, token: string, channel: string): Promise<Held> {
  const aborting = new AbortController();
  const response = await fetch(`${broker.httpUrl}/v1/channels/${channel}/stream`, {
    headers: { authorization: `Bearer ${token}` },
    signal: aborting.signal,
  });
  expect(response.status).toBe(200);
  const ended = response.text().then(
    () => "ended",
    () => "cut off",
  );
  return held(name, ended, () => aborting.abort());
}

/** A publisher's connection to NATS, which does not come back by itself. */
export async function holdNats(name: string, servers: string, key: string): Promise<Held & { nc: NatsConnection }> {
  const nc = await connect({ servers, token: key, inboxPrefix: inboxPrefixOf(key), reconnect: false });
  const ended = nc.closed().then(() => "ended");
  return { nc, ...held(name, ended, () => nc.close()) };
}

/** Ends all of them when the test does. */
export function together(all: readonly Held[]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      for (const each of all) await each[Symbol.asyncDispose]();
    },
  };
}

/** Waits for the word that the credentials of a connection end, which may have come before; says when. */
export async function warned({ client }: HeldSocket): Promise<number> {
  const payloads = () => client.messages.map(({ payload }) => payload as { code?: string; expiresAt?: string });
  const find = () => payloads().find(({ code }) => code === "token_expiring");
  await vi.waitFor(() => expect(find()).toBeDefined(), PATIENCE);
  return Date.parse(find()?.expiresAt ?? "");
}

/** How each has ended. */
export function endings(all: readonly Held[]): Record<string, string | undefined> {
  return Object.fromEntries(all.map((each) => [each.name, each.ending()]));
}

/** What a credential opens at a broker: the status of a history, and that of an upgrade. */
export async function opens(broker: MatrixBroker, token: string, channel: string): Promise<string> {
  const headers = { authorization: `Bearer ${token}` };
  const history = await fetch(`${broker.httpUrl}/v1/channels/${channel}/events`, { headers });
  await history.body?.cancel();
  try {
    await using _ = await connectRaw({ wsUrl: broker.wsUrl, headers });
    return `${history.status} open`;
  } catch (error) {
    if (error instanceof RefusedUpgrade) return `${history.status} ${error.status}`;
    throw error;
  }
}
