import { once } from "node:events";
import { type IncomingMessage, type OutgoingHttpHeaders, request } from "node:http";
import { json } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InProcessBroker, startBroker, TEST_KEY } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { historyOf, log } from "./http-publishing.ts";

let nats: TestNats;
let broker: InProcessBroker;

beforeAll(async () => {
  nats = await startNats();
  broker = await startBroker({ nats });
});

afterAll(async () => {
  await broker?.close();
  await nats?.[Symbol.asyncDispose]();
});

interface Answer {
  readonly eventIds?: readonly string[];
  readonly results?: readonly { eventId?: string; duplicate?: boolean; error?: { code: string; retryable: boolean } }[];
  readonly error?: { readonly code: string; readonly message: string };
}

async function post(channel: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${broker.httpUrl}/v1/channels/${channel}/events`, {
    method: "POST",
    headers: { "x-api-key": TEST_KEY, ...headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Answer };
}

/** The sequences of eventIds: events of one record have the same. */
const records = (ids: readonly string[] = []) => new Set(ids.map((id) => id.split("-")[1])).size;

describe("[HTTP-7] the results of a publish", () => {
  it("has one for each event, in order; those without keys travel together", async () => {
    const events = ["0", "1", "2", "3"].map((message) => log(message));
    const { status, body } = await post("agent:many", [...events, { ...log("4"), idempotencyKey: "own" }, log("5")]);
    expect(status).toBe(201);
    expect(body.results).toEqual(body.eventIds?.map((eventId) => ({ eventId, duplicate: false })));
    expect(records(body.eventIds)).toBe(3);
    expect(await historyOf(broker, "agent:many")).toEqual(["0", "1", "2", "3", "4", "5"]);
  });

  it("names a repeated event as a duplicate among new ones", async () => {
    const once = { ...log("once"), idempotencyKey: "once" };
    const first = await post("agent:again", once);
    const { status, body } = await post("agent:again", [log("a"), once, log("b")]);
    expect(status).toBe(201);
    expect(body.results?.map(({ duplicate }) => duplicate)).toEqual([false, true, false]);
    expect(body.results?.[1]?.eventId).toBe(first.body.eventIds?.[0]);
    expect(await historyOf(broker, "agent:again")).toEqual(["once", "a", "b"]);
  });

  it("where some are not stored is 207 without eventIds; where none is, the one reason", async () => {
    // Several events stand under the key: it is not one event's.
    await post("agent:mixed", [log("x"), log("y")], { "idempotency-key": "used" });
    const taken = { ...log("b"), idempotencyKey: "used" };
    const mixed = await post("agent:mixed", [log("a"), taken, log("c")]);
    expect(mixed.status).toBe(207);
    expect(mixed.body.eventIds).toBeUndefined();
    expect(mixed.body.results?.map(({ eventId }) => typeof eventId)).toEqual(["string", "undefined", "string"]);
    expect(mixed.body.results?.[1]?.error).toMatchObject({ code: "taken", retryable: false });
    expect(await post("agent:mixed", taken)).toMatchObject({ status: 409, body: { error: { code: "taken" } } });
    expect(await historyOf(broker, "agent:mixed")).toEqual(["x", "y", "a", "c"]);
  });
});

describe("[HTTP-10] Idempotency-Key", () => {
  it("on a single event is the event's own key", async () => {
    const first = await post("agent:one", log("1"), { "idempotency-key": "k1" });
    const again = await post("agent:one", log("1"), { "idempotency-key": "k1" });
    const inside = await post("agent:one", { ...log("1"), idempotencyKey: "k1" });
    const both = await post("agent:one", { ...log("1"), idempotencyKey: "k1" }, { "idempotency-key": "k1" });
    expect([first, again, inside, both].map(({ status }) => status)).toEqual([201, 201, 201, 201]);
    expect([first, again, inside, both].map(({ body }) => body.results?.[0])).toEqual([
      { eventId: first.body.eventIds?.[0], duplicate: false },
      ...Array(3).fill({ eventId: first.body.eventIds?.[0], duplicate: true }),
    ]);
    expect(await historyOf(broker, "agent:one")).toEqual(["1"]);
  });

  it("on an array makes it one record, stored once; other events under it are taken", async () => {
    const events = [log("1", "2026-01-01T00:00:00Z"), log("2", "2026-01-01T00:00:00Z")];
    const first = await post("agent:array", events, { "idempotency-key": "build-7" });
    const again = await post("agent:array", events, { "idempotency-key": "build-7" });
    expect([first.status, again.status, records(first.body.eventIds)]).toEqual([201, 201, 1]);
    expect(again.body.eventIds).toEqual(first.body.eventIds);
    expect(again.body.results?.map(({ duplicate }) => duplicate)).toEqual([true, true]);
    const other = await post("agent:array", [...events, log("3")], { "idempotency-key": "build-7" });
    expect(other).toMatchObject({ status: 409, body: { error: { code: "taken" } } });
    expect(await historyOf(broker, "agent:array")).toEqual(["1", "2"]);
  });

  it("recognises events that have no timestamp of their own", async () => {
    const events = ["1", "2"].map((message) => log(message));
    const first = await post("agent:untimed", events, { "idempotency-key": "untimed" });
    await expect.poll(() => Date.now()).toBeGreaterThan(Date.now() + 2);
    const again = await post("agent:untimed", events, { "idempotency-key": "untimed" });
    expect([again.status, again.body.eventIds]).toEqual([201, first.body.eventIds]);
  });

  it.each<[string, unknown, Record<string, string>]>([
    ["keys of its own inside an array", [{ ...log("1"), idempotencyKey: "own" }], { "idempotency-key": "k" }],
    ["another key on a single event", { ...log("1"), idempotencyKey: "own" }, { "idempotency-key": "k" }],
    ["one that is too long", log("1"), { "idempotency-key": "k".repeat(129) }],
    ["one that is not visible", log("1"), { "idempotency-key": "a b" }],
    ["[HTTP-10] an encoded key that is none", log("1"), { "kata-idempotency-key": "a.b" }],
    ["[HTTP-10] an encoded key that is no UTF-8", log("1"), { "kata-idempotency-key": "__8" }],
    ["[HTTP-10] two keys", log("1"), { "idempotency-key": "k", "kata-idempotency-key": "aw" }],
    ["[HTTP-11] a publish id without it", log("1"), { "kata-publish-id": "p" }],
    ["[HTTP-11] an attempt without a publish id", log("1"), { "idempotency-key": "k", "kata-attempt": "since=1" }],
    ["[HTTP-11] a publish id that is none", log("1"), { "idempotency-key": "k", "kata-publish-id": "a.b" }],
    ...["since=", "since=-1", "since=1; after=x", "after=1-0-0000", "since=99999999999"].map(
      (attempt): [string, unknown, Record<string, string>] => [
        `[HTTP-11] the attempt ${attempt}`,
        log("1"),
        { "idempotency-key": "k", "kata-publish-id": "p", "kata-attempt": attempt },
      ],
    ),
  ])("refuses %s", async (_what, body, headers) => {
    expect(await post("agent:bad", body, headers)).toMatchObject({
      status: 400,
      body: { error: { code: "bad_request" } },
    });
    expect(await historyOf(broker, "agent:bad")).toEqual([]);
  });
});

describe("[HTTP-10] the headers of a key", () => {
  const key = { "idempotency-key": "k" };

  it.each<[string, OutgoingHttpHeaders]>([
    ["with two keys", { "idempotency-key": ["a1", "a2"] }],
    ["with the same key twice", { "idempotency-key": ["a1", "a1"] }],
    ["with an empty key", { "idempotency-key": "" }],
    ["with an empty key and one", { "idempotency-key": ["", "a1"] }],
    ["with two encoded keys", { "kata-idempotency-key": ["aw", "bA"] }],
    ["with an empty encoded key", { "kata-idempotency-key": "" }],
    ["with two publish ids", { ...key, "kata-publish-id": ["p1", "p2"] }],
    ["with an empty publish id", { ...key, "kata-publish-id": "" }],
    ["with two attempts", { ...key, "kata-publish-id": "p1", "kata-attempt": ["since=1", "since=2"] }],
    ["with an empty attempt", { ...key, "kata-publish-id": "p1", "kata-attempt": "" }],
  ])("are refused %s, for a stream as for an event", async (_what, headers) => {
    for (const type of ["application/json", "application/x-ndjson"]) {
      const options = { method: "POST", headers: { "x-api-key": TEST_KEY, "content-type": type, ...headers } };
      const sent = request(`${broker.httpUrl}/v1/channels/agent:twice/events`, options).end(JSON.stringify(log("1")));
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      expect(await json(response)).toMatchObject({ error: { code: "bad_request", retryable: false } });
      expect(response.statusCode).toBe(400);
    }
    expect(await historyOf(broker, "agent:twice")).toEqual([]);
  });
});

describe("[HTTP-11] a publish that is repeated", () => {
  const events = [log("1", "2026-01-01T00:00:00Z"), log("2", "2026-01-01T00:00:00Z")];

  it("is no duplicate of itself", async () => {
    const headers = { "idempotency-key": "own-1", "kata-publish-id": "p1" };
    const first = await post("agent:own", events, headers);
    const again = await post("agent:own", events, {
      ...headers,
      "kata-attempt": `since=1000; after=${first.body.eventIds?.[0]}`,
    });
    const others = await post("agent:own", events, { ...headers, "kata-publish-id": "p2" });
    expect([again.body.eventIds, others.body.eventIds]).toEqual([first.body.eventIds, first.body.eventIds]);
    expect([first, again, others].map(({ body }) => body.results?.[0]?.duplicate)).toEqual([false, false, true]);
    const changed = await post("agent:own", [log("3")], { ...headers, "kata-attempt": "since=1000" });
    expect(changed).toMatchObject({ status: 409, body: { error: { code: "taken" } } });
    expect(await historyOf(broker, "agent:own")).toEqual(["1", "2"]);
  });
});
