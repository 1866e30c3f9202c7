import type { BrokerConfig, ChannelAccess, Logger } from "@kata/broker";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ApiKeyPrincipal } from "../../broker/src/auth/principal.ts";
import { type InProcessBroker, startBroker } from "../support/broker.ts";
import { startNats, type TestNats } from "../support/nats.ts";
import { connectRaw, eventsOf } from "../support/raw-client.ts";
import { createApiClient } from "./api-client.ts";
import { gate } from "./revocation-held.ts";

// What changes for a connection that is open: its credentials, and whose its channels are.

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

const EVENT = { type: "log_entry", payload: { message: "m" } };
const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** Keys of t1, by their last part; and specs whose owner is told when the test lets it. */
class World {
  readonly keys = new Map<string, Partial<ApiKeyPrincipal>>();
  readonly verifying: string[] = [];
  verify: Promise<void> | undefined;
  /** What each next question about an owner is answered with. */
  readonly answers: Promise<string | undefined>[] = [];
  readonly asked: string[] = [];
  readonly #listeners = new Set<(channel: string) => void>();

  readonly access: ChannelAccess = {
    resolveSpecTeamId: (id) => {
      this.asked.push(id);
      return this.answers.shift() ?? Promise.resolve("t1");
    },
    resolveAgentTeamId: async () => "t1",
    onOwnerChanged: (listener) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    },
  };

  ownerChanged(channel: string): void {
    for (const listener of this.#listeners) listener(channel);
  }

  async verifyKey(key: string): Promise<ApiKeyPrincipal | undefined> {
    this.verifying.push(key);
    await this.verify;
    const more = this.keys.get(key);
    return more && { type: "api_key", teamId: "t1", keyId: "k", scopes: ["subscribe", "publish"], ...more };
  }

  start(config: Partial<BrokerConfig> = {}, logger: Logger = SILENT): Promise<InProcessBroker> {
    return startBroker({ nats, config, logger, apiKeys: this, access: this.access });
  }
}

function world(): World {
  const made = new World();
  made.keys.set("kat_all", {});
  return made;
}

const connect = (broker: InProcessBroker, apiKey = "kat_all") => connectRaw({ wsUrl: broker.wsUrl, apiKey });
type Client = Awaited<ReturnType<typeof connect>>;

async function subscribe(client: Client, ...channels: string[]): Promise<void> {
  for (const channel of channels) {
    client.send({ type: "subscribe", channel });
    await client.next((message) => message.type === "caught_up" && message.channel === channel);
  }
}
async function answerTo(client: Client, command: object): Promise<unknown> {
  client.send(command);
  return (await client.next(({ type }) => type === "error" || type === "authenticated")).payload;
}

describe("[LIMIT-3] [LIMIT-5] credentials on an open connection", () => {
  it("count for its address as those of a new one: guessed on and on, none is looked at", async () => {
    const it_ = world();
    await using broker = await it_.start({ maxFailedAuthsPerMinute: 3 });
    await using client = await connect(broker);
    for (let n = 0; n < 3; n++) {
      expect(await answerTo(client, { type: "auth", token: `kat_guess${n}` })).toMatchObject({
        code: "unauthenticated",
      });
    }
    const looked = it_.verifying.length;
    expect(await answerTo(client, { type: "auth", token: "kat_all" })).toMatchObject({ code: "rate_limited" });
    expect(it_.verifying).toHaveLength(looked);
    await expect(connect(broker)).rejects.toMatchObject({ status: 429 });
  });

  it("wait with all others for an answer, and are too many as they are", async () => {
    const it_ = world();
    await using broker = await it_.start({ maxAuthentications: 1 });
    await using client = await connect(broker);
    const held = gate();
    it_.verify = held.opened;
    client.send({ type: "auth", token: "kat_all", id: 1 });
    await expect.poll(() => it_.verifying).toHaveLength(2);
    expect(await answerTo(client, { type: "auth", token: "kat_all", id: 2 })).toMatchObject({
      code: "unavailable",
      id: 2,
    });
    held.open();
    expect((await client.nextOf("authenticated")).payload).toMatchObject({ id: 1 });
  });
});

describe("[AUTH-1] [ERROR-3] credentials with which a connection may do less", () => {
  it("end the subscriptions that they are not for, and no other", async () => {
    const it_ = world();
    it_.keys.set("kat_less", { channels: ["spec:s1", "agent:*"] });
    await using broker = await it_.start();
    await using client = await connect(broker);
    await subscribe(client, "spec:s1", "spec:s2", "agent:a", "team:t1");
    expect(await answerTo(client, { type: "auth", token: "kat_less" })).toMatchObject({ teamId: "t1" });
    const ended = [await client.nextOf("error"), await client.nextOf("error")].map(({ payload }) => payload);
    expect(ended).toMatchObject([
      { code: "forbidden", channel: "spec:s2" },
      { code: "forbidden", channel: "team:t1" },
    ]);
    const api = createApiClient(broker.httpUrl, "kat_all");
    for (const channel of ["spec:s2", "team:t1", "spec:s1", "agent:a"]) {
      expect((await api.post(`/v1/channels/${channel}/events`, EVENT)).status).toBe(201);
    }
    await client.events("spec:s1", 1);
    await client.events("agent:a", 1);
    client.send({ type: "ping" });
    await client.nextOf("pong");
    for (const channel of ["spec:s2", "team:t1"]) expect(eventsOf(client.messages, channel)).toEqual([]);
  });

  it("without the scope end them all, however many; the connection stays", async () => {
    const it_ = world();
    it_.keys.set("kat_none", { scopes: ["publish"] });
    await using broker = await it_.start({ maxErrorsPerMinute: 2 });
    await using client = await connect(broker);
    const channels = Array.from({ length: 10 }, (_, n) => `agent:a${n}`);
    await subscribe(client, ...channels);
    client.send({ type: "auth", token: "kat_none" });
    for (const channel of channels) {
      expect((await client.nextOf("error")).payload).toMatchObject({ code: "forbidden", channel });
    }
    client.send({ type: "ping" });
    await client.nextOf("pong");
  });

  it("count for a channel, too, whose owner is being looked up", async () => {
    const it_ = world();
    it_.keys.set("kat_less", { channels: ["spec:s1"] });
    await using broker = await it_.start();
    await using client = await connect(broker);
    const owner = gate();
    it_.answers.push(owner.opened.then(() => "t1"));
    client.send({ type: "subscribe", channel: "spec:s2", id: 7 });
    await expect.poll(() => it_.asked).toHaveLength(1);
    expect(await answerTo(client, { type: "auth", token: "kat_less" })).toMatchObject({ teamId: "t1" });
    owner.open();
    expect((await client.nextOf("error")).payload).toMatchObject({ code: "forbidden", channel: "spec:s2", id: 7 });
    await subscribe(client, "spec:s1");
  });
});

describe("[ERROR-3] a channel whose owner changes while it is looked up", () => {
  it("is looked up again: a WebSocket", async () => {
    const it_ = world();
    await using broker = await it_.start();
    await using client = await connect(broker);
    const old = gate();
    it_.answers.push(
      old.opened.then(() => "t1"),
      Promise.resolve("t2"),
    );
    client.send({ type: "subscribe", channel: "spec:s1", id: 1 });
    await expect.poll(() => it_.asked).toHaveLength(1);
    it_.ownerChanged("spec:s1");
    old.open();
    expect((await client.next(({ type }) => type === "error" || type === "subscribed")).payload).toMatchObject({
      code: "forbidden",
      id: 1,
    });
    expect(it_.asked).toHaveLength(2);
  });

  it("is looked up again: an event stream ends", async () => {
    const it_ = world();
    await using broker = await it_.start();
    const old = gate();
    it_.answers.push(
      old.opened.then(() => "t1"),
      Promise.resolve("t2"),
    );
    const reading = fetch(`${broker.httpUrl}/v1/channels/spec:s1/stream`, { headers: { "x-api-key": "kat_all" } });
    await expect.poll(() => it_.asked).toHaveLength(1);
    it_.ownerChanged("spec:s1");
    old.open();
    // One that stays would be read until the test's time is over.
    await (await reading).text();
    expect(it_.asked).toHaveLength(2);
  });
});

describe("a subscription that failed late", () => {
  it("takes nothing from the one that has come in its place", async () => {
    const it_ = world();
    const failed = vi.fn();
    const logger: Logger = {
      ...SILENT,
      error(_about: unknown, text?: string) {
        failed(text);
        // Whatever goes wrong at that moment.
        if (text?.startsWith("an adapter failed") === true) throw new Error("the log is full");
      },
    };
    await using broker = await it_.start({}, logger);
    await using client = await connect(broker);
    const owner = gate();
    it_.answers.push(owner.opened.then(() => Promise.reject(new Error("away"))));
    client.send({ type: "subscribe", channel: "spec:s1" });
    await expect.poll(() => it_.asked).toHaveLength(1);
    client.send({ type: "unsubscribe", channel: "spec:s1" });
    await client.nextOf("unsubscribed");
    await subscribe(client, "spec:s1");
    owner.open();
    await expect.poll(() => failed.mock.calls.flat()).toContain("a command failed");
    client.send({ type: "subscribe", channel: "spec:s1", id: 3 });
    expect((await client.nextOf("error")).payload).toMatchObject({ code: "already_subscribed", id: 3 });
    const api = createApiClient(broker.httpUrl, "kat_all");
    expect((await api.post("/v1/channels/spec:s1/events", EVENT)).status).toBe(201);
    await client.events("spec:s1", 1);
  });
});

describe("[SUBSCRIBE-7] whose channels are, which an application is asked", () => {
  it("one team asks so much at a time that another's questions find their way", async () => {
    const it_ = world();
    it_.keys.set("kat_greedy", { teamId: "t2", keyId: "g" });
    await using broker = await it_.start();
    const held = gate();
    const greedy = createApiClient(broker.httpUrl, "kat_greedy");
    for (let n = 0; n < 100; n++) it_.answers.push(held.opened.then(() => undefined));
    const asking = Array.from({ length: 100 }, (_, n) => greedy.get(`/v1/channels/spec:nobodys${n}/events`));
    await expect.poll(() => it_.verifying).toHaveLength(100);
    // Behind them all in the broker's eyes.
    expect((await createApiClient(broker.httpUrl, "kat_all").get("/v1/channels/team:t1/events")).status).toBe(200);
    expect(it_.asked).toHaveLength(16);
    it_.answers.splice(0, it_.answers.length);
    expect((await createApiClient(broker.httpUrl, "kat_all").get("/v1/channels/spec:s1/events")).status).toBe(200);
    held.open();
    it_.answers.push(...Array.from({ length: 84 }, () => Promise.resolve(undefined)));
    expect(new Set((await Promise.all(asking)).map(({ status }) => status))).toEqual(new Set([403]));
  });
});
