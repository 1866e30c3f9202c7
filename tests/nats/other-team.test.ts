import { createPublisher } from "@kata/publisher";
import { headers } from "@nats-io/transport-node";
import { expect, test, vi } from "vitest";
import { inboxPrefixOf } from "../../broker/src/callout/permissions.ts";
import { idempotentMessageId } from "../../publisher-sdk/src/message-id.ts";
import { connectRaw } from "../support/raw-client.ts";
import { readLog } from "../support/stream.ts";
import { connectKey, createNatsRig, violationsOf } from "./rig.ts";

const event = (message: string) => ({ type: "log_entry", payload: { message } });
const line = (payload: object, more: object = {}) =>
  JSON.stringify({ type: "log_entry", timestamp: "2026-01-31T12:00:00Z", encoding: "json", payload, ...more });

test("[NATS-5] message ids that another team can think of suppress nothing", async () => {
  await using rig = await createNatsRig();
  const attacker = await connectKey(rig.nats, rig.keys.add("t2"));
  const about = await attacker.request("kata.publisher.t2.about");
  const secret = Buffer.from(about.json<{ idempotencySecret: string }>().idempotencySecret, "base64url");
  const subject = "kata.team.t1.agent.a1";
  for (const guess of [undefined, secret, "kata", "t1"].map((each) => idempotentMessageId(subject, "order-1", each))) {
    const head = headers();
    head.set("Nats-Msg-Id", guess);
    await attacker.request("kata.team.t2", line({ message: "first" }), { headers: head, timeout: 5_000 });
  }
  await using publisher = await createPublisher({ servers: rig.nats.publicUrl, apiKey: rig.keys.add("t1") });
  const stored = await publisher.publish("agent:a1", { ...event("theirs"), idempotencyKey: "order-1" });
  expect(stored.duplicate).toBe(false);
  expect(await publisher.publish("agent:a1", event("and this"))).toMatchObject({ duplicate: false });
  expect(await readLog(rig.inside, subject)).toHaveLength(2);
  await attacker.close();
});

test("[NATS-5] the last message id, which JetStream tells whoever asks, is no help to guess the next", async () => {
  await using rig = await createNatsRig();
  await using publisher = await createPublisher({ servers: rig.nats.publicUrl, apiKey: rig.keys.add("t1") });
  const attacker = await connectKey(rig.nats, rig.keys.add("t2"));
  const send = async (name: string, value: string) => {
    const head = headers();
    head.set(name, value);
    const answer = await attacker.request("kata.team.t2", "x", { headers: head, timeout: 5_000 });
    return answer.json<{ error?: { description: string } }>();
  };
  await publisher.publish("team:t1", event("0"));
  const { error } = await send("Nats-Expected-Last-Msg-Id", "guess");
  const stored = await readLog(rig.inside, "kata.team.t1");
  const known = stored[0]?.messageId ?? "";
  expect(error?.description).toContain(known);
  // What follows it if ids count, at their end or behind a dash.
  const [base, count = "0"] = known.split("-") as [string, string?];
  for (let i = 1; i <= 25; i++) {
    await send("Nats-Msg-Id", `${base}-${(Number.parseInt(count, 36) + i).toString(36)}`);
    const next = Buffer.from(known, "base64url");
    next[next.length - 1] = (next.at(-1) ?? 0) + i;
    await send("Nats-Msg-Id", next.toString("base64url"));
  }
  await publisher.publishMany(
    "team:t1",
    Array.from({ length: 3 }, (_, i) => event(`${i + 1}`)),
  );
  for (let i = 4; i < 8; i++) await publisher.publish("team:t1", event(`${i}`));
  const log = await readLog(rig.inside, "kata.team.t1");
  expect(log.flatMap(({ lines }) => lines.map((each) => JSON.parse(each).payload.message))).toEqual(
    Array.from({ length: 8 }, (_, i) => `${i}`),
  );
  await attacker.close();
});

test.each([
  ["another team's, by one whose key of this team was revoked", "t2", "kata.team.t2"],
  ["another of the team, by one who is limited to it", "t1", "kata.team.t1.agent.mine"],
])(
  "[NATS-5] an idempotency key's id that was used first for another channel (%s) is an error, never a duplicate",
  async (_, teamId, subject) => {
    await using rig = await createNatsRig();
    const limited = rig.keys.add("t1", { channels: ["agent:mine"] });
    const former = await connectKey(rig.nats, limited);
    const about = await former.request("kata.publisher.t1.about");
    const secret = Buffer.from(about.json<{ idempotencySecret: string }>().idempotencySecret, "base64url");
    const attacker = teamId === "t1" ? former : await connectKey(rig.nats, rig.keys.add(teamId));
    const head = headers();
    head.set("Nats-Msg-Id", idempotentMessageId("kata.team.t1.spec.orders", "order-1", secret));
    await attacker.request(subject, line({ message: "first" }), { headers: head, timeout: 5_000 });
    await using publisher = await createPublisher({ servers: rig.nats.publicUrl, apiKey: rig.keys.add("t1") });
    const order = (idempotencyKey: string) => ({ ...event("pay 100"), idempotencyKey });
    await expect(publisher.publish("spec:orders", order("order-1"))).rejects.toMatchObject({
      code: "key_taken",
      stored: "no",
      message: expect.stringContaining("publish with another key"),
    });
    // With another key it is stored.
    expect(await publisher.publish("spec:orders", order("order-2"))).toMatchObject({ duplicate: false });
    expect(await readLog(rig.inside, "kata.team.t1.spec.orders")).toHaveLength(1);
    for (const nc of new Set([former, attacker])) await nc.close();
  },
);

test("forged headers, fields and records of 1 MB change nothing for the other team and its reader", async () => {
  await using rig = await createNatsRig();
  const reading = rig.keys.add("t1", { scopes: ["subscribe", "publish"] });
  await using reader = await connectRaw({ wsUrl: rig.broker.wsUrl, apiKey: reading });
  reader.send({ type: "subscribe", channel: "team:t1" });
  await reader.nextOf("subscribed");
  await using publisher = await createPublisher({ servers: rig.nats.publicUrl, apiKey: reading });
  const before = await publisher.publish("team:t1", event("1"));

  const attacker = await connectKey(rig.nats, rig.keys.add("t2"));
  const refused = violationsOf(attacker);
  const forged: Record<string, string>[] = [
    { "Nats-Rollup": "all" },
    { "Nats-Rollup": "sub" },
    { "Nats-TTL": "1s" },
    { "Nats-Expected-Stream": "KV_KATA_KEYS" },
    { "Nats-Expected-Last-Sequence": "0" },
    { "Nats-Schedule": "@at 2026-01-01T00:00:00Z", "Nats-Schedule-Target": "kata.team.t1" },
    { "Nats-Incr": "1" },
    { "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1" },
    { "Nats-Stream": "KATA", "Nats-Subject": "kata.team.t1", "Nats-Sequence": "1", "Nats-Last-Sequence": "0" },
    { "Nats-Request-Info": '{"acc":"KATA","user":"broker"}' },
  ];
  for (const fields of forged) {
    const head = headers();
    for (const [name, value] of Object.entries(fields)) head.set(name, value);
    attacker.publish("kata.team.t2", line({ message: "forged" }), { headers: head });
    attacker.publish("kata.team.t1", line({ message: "forged" }), { headers: head });
  }
  attacker.publish("kata.team.t2", line({ message: "forged" }, { channel: "team:t1", eventId: before.eventId }));
  const large = new Uint8Array(1024 * 1024 - 200).fill(120);
  for (let i = 0; i < 20; i++) attacker.publish("kata.team.t2", large);
  await attacker.flush();

  const after = await publisher.publish("team:t1", event("2"));
  const seen = await reader.events("team:t1", 2);
  expect(seen.map(({ eventId }) => eventId)).toEqual([before.eventId, after.eventId]);
  const log = await readLog(rig.inside, "kata.team.t1");
  expect(log.flatMap(({ eventIds }) => eventIds)).toEqual([before.eventId, after.eventId]);
  expect(refused).toEqual(forged.map(() => "publish kata.team.t1"));
  await attacker.close();
});

test("[NATS-4] what a broker tells a publisher says nothing of other teams, not even whether their messages exist", async () => {
  await using rig = await createNatsRig();
  const owner = await connectKey(rig.nats, rig.keys.add("t1"));
  const other = await connectKey(rig.nats, rig.keys.add("t2"));
  const head = headers();
  head.set("Nats-Msg-Id", "known");
  head.set("Kata-Publish-Id", "p1");
  const { seq } = (
    await owner.request("kata.team.t1", line({ message: "secret" }), { headers: head, timeout: 5_000 })
  ).json<{
    seq: number;
  }>();
  const ask = async (nc: typeof owner, op: string, body: unknown) =>
    (await nc.request(`kata.publisher.${op}`, JSON.stringify(body))).json();
  const found = { message: { seq, publishId: "p1" } };
  const subject = "kata.team.t1";
  expect(await ask(owner, "t1.at", { subject, seq, messageId: "known" })).toEqual(found);
  expect(await ask(owner, "t1.find", { subject, messageId: "known", afterSeq: 0 })).toEqual(found);
  // Its own, but by another id than it knows, or on another subject; behind it; one that is not there.
  const nothing = { message: null };
  expect(await ask(owner, "t1.at", { subject, seq, messageId: "unknown" })).toEqual(nothing);
  expect(await ask(owner, "t1.at", { subject: "kata.team.t1.spec.s1", seq, messageId: "known" })).toEqual(nothing);
  const gone = { message: null, gone: true };
  expect(await ask(owner, "t1.at", { subject, seq: seq + 1, messageId: "known" })).toEqual(gone);
  expect(await ask(owner, "t1.find", { subject, messageId: "known", afterSeq: seq })).toEqual(nothing);
  // The other team gets the same answer whatever stands there, and whether or not it knows the id.
  for (const messageId of ["known", "unknown"]) {
    expect(await ask(other, "t2.at", { subject: "kata.team.t2", seq, messageId })).toEqual(nothing);
    expect(await ask(other, "t2.at", { subject: "kata.team.t2", seq: seq + 1, messageId })).toEqual(gone);
  }
  const refusal = { error: { code: "bad_request", message: expect.any(String) } };
  for (const foreign of [subject, "kata.team.t1.agent.a1", "kata.team.>", "kata.team.*", ">", "kata.team.t2.>"]) {
    expect(await ask(other, "t2.find", { subject: foreign, messageId: "known", afterSeq: 0 })).toEqual(refusal);
    expect(await ask(other, "t2.at", { subject: foreign, messageId: "known", seq })).toEqual(refusal);
  }
  const secrets = await Promise.all([ask(owner, "t1.about", ""), ask(other, "t2.about", "")]);
  expect(secrets).toEqual([
    { teamId: "t1", stream: "KATA", idempotencySecret: expect.stringMatching(/^[\w-]{43}$/) },
    { teamId: "t2", stream: "KATA", idempotencySecret: expect.stringMatching(/^[\w-]{43}$/) },
  ]);
  expect(new Set(secrets.map((each) => (each as { idempotencySecret: string }).idempotencySecret)).size).toBe(2);
  await owner.close();
  await other.close();
});

test("[NATS-4] bad questions are answered, and the service goes on", async () => {
  await using rig = await createNatsRig();
  const nc = await connectKey(rig.nats, rig.keys.add("t1"));
  const refusal = { error: { code: "bad_request", message: expect.any(String) } };
  for (const [op, body] of [
    ["nonsense", ""],
    ["at", ""],
    ["at", "null"],
    ["at", "[]"],
    ["at", '{"subject":"kata.team.t1","seq":1}'],
    ["at", '{"seq":1,"messageId":"x"}'],
    ["at", '{"subject":"kata.team.t1","seq":0,"messageId":"x"}'],
    ["at", '{"subject":"kata.team.t1","seq":1.5,"messageId":"x"}'],
    ["at", '{"subject":"kata.team.t1","seq":"1","messageId":"x"}'],
    ["at", JSON.stringify({ subject: "kata.team.t1", seq: 1, messageId: "x".repeat(257) })],
    ["find", '{"messageId":"x","afterSeq":0}'],
    ["find", '{"subject":"kata.team.t1","messageId":"","afterSeq":0}'],
    ["find", '{"subject":"kata.team.t1","messageId":"x","afterSeq":-1}'],
    ["find", '{"subject":"kata.team.t1..","messageId":"x","afterSeq":0}'],
    ["find", `{"x":"${"y".repeat(5_000)}"}`],
    ["find.more", "{}"],
  ]) {
    expect((await nc.request(`kata.publisher.t1.${op}`, body)).json(), `${op} ${body}`).toEqual(refusal);
  }
  expect((await nc.request("kata.publisher.t1.stream")).json()).toEqual({
    epoch: expect.any(String),
    lastSeq: 0,
    duplicateWindowMs: 120_000,
  });
  await nc.close();
});

test("a team that asks too much at a time is told so, and another is answered meanwhile", async () => {
  await using rig = await createNatsRig();
  const flooding = await connectKey(rig.nats, rig.keys.add("t1"));
  const other = await connectKey(rig.nats, rig.keys.add("t2"));
  const flood = Array.from({ length: 200 }, () => flooding.request("kata.publisher.t1.stream"));
  const calm = other.request("kata.publisher.t2.stream");
  const answers = (await Promise.all(flood)).map((msg) => msg.json<{ error?: { code: string } }>());
  expect(answers.some(({ error }) => error === undefined)).toBe(true);
  const refused = answers.filter(({ error }) => error !== undefined);
  expect(refused.length).toBeGreaterThan(0);
  expect(new Set(refused.map(({ error }) => error?.code))).toEqual(new Set(["unavailable"]));
  expect((await calm).json()).toMatchObject({ lastSeq: expect.any(Number) });
  await flooding.close();
  await other.close();
});

test("a team that asks without end is answered so often, and another as before", async () => {
  await using rig = await createNatsRig();
  const key = rig.keys.add("t1");
  const flooding = await connectKey(rig.nats, key);
  const other = await connectKey(rig.nats, rig.keys.add("t2"));
  const inbox = `${inboxPrefixOf(key)}.flood`;
  let answers = 0;
  flooding.subscribe(inbox, { callback: () => void answers++ });
  const startedAt = performance.now();
  // Half of it cheap to refuse, half of it work.
  for (let i = 0; i < 20_000; i++) {
    flooding.publish(`kata.publisher.t1.${i % 2 === 0 ? "nonsense" : "stream"}`, "", { reply: inbox });
  }
  await flooding.flush();
  for (const op of ["about", "stream"]) {
    expect((await other.request(`kata.publisher.t2.${op}`)).json()).not.toHaveProperty("error");
  }
  // The broker's answers come in the order in which it gave them.
  await flooding.flush();
  const seconds = (performance.now() - startedAt) / 1_000;
  expect(answers).toBeGreaterThan(0);
  expect(answers).toBeLessThanOrEqual(1_000 + 500 * seconds + 1);
  await vi.waitFor(async () =>
    expect((await flooding.request("kata.publisher.t1.stream", "", { timeout: 200 })).json()).toHaveProperty("epoch"),
  );
  await flooding.close();
  await other.close();
});

test("[NATS-4] a message that lies far behind is found all the same, some way at a time", async () => {
  await using rig = await createNatsRig();
  const nc = await connectKey(rig.nats, rig.keys.add("t1"));
  for (let i = 0; i < 150; i++) {
    const head = headers();
    head.set("Nats-Msg-Id", `m${i}`);
    await nc.request("kata.team.t1", "x", { headers: head, timeout: 5_000 });
  }
  const found: unknown[] = [];
  for (let afterSeq: number | undefined = 0; afterSeq !== undefined; ) {
    const question = JSON.stringify({ subject: "kata.team.t1", messageId: "m140", afterSeq });
    const answer: { message: unknown; searchedTo?: number } = (
      await nc.request("kata.publisher.t1.find", question)
    ).json();
    found.push(answer.message);
    afterSeq = answer.searchedTo;
  }
  expect(found).toEqual([null, null, { seq: 141 }]);
  await nc.close();
});
