import { expect } from "vitest";
import type { TestBroker } from "../support/broker.ts";
import { connectRaw, eventsOf, type RawClient } from "../support/raw-client.ts";

export const V1 = ["kata.v1"];
export const NDJSON = ["kata.v1.ndjson"];

/** A socket without an SDK that reads one channel, from the place that `start` says; subscribed, maybe not answered yet. */
export async function openReader(
  broker: TestBroker,
  channel: string,
  { protocols = V1, ...start }: { protocols?: string[]; lastEventId?: string; rewind?: unknown } = {},
): Promise<RawClient> {
  // What is read is compared to the letter, so it need not be held against the schema event by event.
  const socket = await connectRaw({ wsUrl: broker.wsUrl, apiKey: broker.apiKey, protocols, strict: false });
  socket.send({ type: "subscribe", channel, ...start });
  return socket;
}

/** The same, once it is live. */
export async function openLiveReader(...args: Parameters<typeof openReader>): Promise<RawClient> {
  const socket = await openReader(...args);
  await socket.nextOf("caught_up");
  return socket;
}

export function idsOf(socket: RawClient, channel: string): string[] {
  return eventsOf(socket.messages, channel).map((event) => event.eventId);
}

/** How long to wait for what must come; nothing is concluded from the time that it takes. */
export const PATIENCE = { timeout: 20_000, interval: 20 };

/** Waits for the last of these events, then holds everything that came against them: each once, in order, and no gap told. */
export async function expectExactly(socket: RawClient, channel: string, eventIds: readonly string[]): Promise<void> {
  await arrived(socket, channel, eventIds.at(-1) ?? "");
  expect(idsOf(socket, channel)).toEqual(eventIds);
  expect(gapsOf(socket, channel)).toEqual([]);
  expect(socket.socket.readyState).toBe(socket.socket.OPEN);
}

/** Waits until the channel's newest event is this one, and for everything that was sent behind it. */
export async function arrived(socket: RawClient, channel: string, eventId: string): Promise<void> {
  await expect.poll(() => eventsOf(socket.messages, channel).at(-1)?.eventId, PATIENCE).toBe(eventId);
  socket.send({ type: "ping", id: eventId });
  await socket.next((message) => message.type === "pong" && (message.payload as { id?: unknown }).id === eventId);
}

/** Why the channel was told to have gaps. */
export function gapsOf(socket: RawClient, channel: string): (string | undefined)[] {
  return socket.messages.flatMap((message) => {
    if (message.type !== "subscribed" || message.channel !== channel) return [];
    const { recovery, reason } = message.payload as { recovery: string; reason?: string };
    return recovery === "gap" ? [reason] : [];
  });
}
