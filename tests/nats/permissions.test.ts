import { jetstreamManager } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { expect, test, vi } from "vitest";
import { inboxPrefixOf } from "../../broker/src/callout/permissions.ts";
import { connectKey, createNatsRig, type NatsRig, violationsOf } from "./rig.ts";

/** What the log and the buckets hold, as far as strangers can have changed it. */
async function stateOf(inside: NatsConnection) {
  const { streams } = await jetstreamManager(inside);
  const state: Record<string, unknown> = {};
  for await (const { config, state: each } of streams.list()) {
    if (config.name === "KATA") continue;
    state[config.name] = { messages: each.messages, lastSeq: each.last_seq };
  }
  const { state: log } = await streams.info("KATA", { subjects_filter: ">" });
  const subjects = Object.keys(log.subjects ?? {});
  return { buckets: state, foreign: subjects.filter((each) => !/^kata\.team\.t1(\.|$)/.test(each)), subjects };
}

test("[NATS-2] a publisher may publish to its own team and read its own inbox: nothing else", async () => {
  await using rig = await createNatsRig();
  const key = rig.keys.add("t1");
  const other = rig.keys.add("t2");
  const nc = await connectKey(rig.nats, key);
  const refused = violationsOf(nc);
  const allowedToPublish = [
    "kata.team.t1",
    "kata.team.t1.agent.a1",
    "kata.team.t1.spec.s1",
    "kata.publisher.t1.about",
    "$SYS.REQ.USER.INFO",
  ];
  const refusedToPublish = [
    "kata.team.t2",
    "kata.team.t2.agent.a1",
    "kata.team.t11",
    // No channels of its own team.
    "kata.team.t1.agent",
    "kata.team.t1.agent.a1.b",
    "kata.team.t1.room.r1",
    "kata.team.t1.x",
    "kata.team",
    "kata.publisher.t2.about",
    "kata.publisher.t2.find",
    "kata.other",
    "live.kata.team.t1",
    "live.kata.team.t2",
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.KATA",
    "$JS.API.STREAM.DELETE.KATA",
    "$JS.API.STREAM.MSG.GET.KATA",
    "$JS.API.DIRECT.GET.KATA",
    "$JS.API.DIRECT.GET.KATA.kata.team.t2",
    "$JS.API.STREAM.PURGE.KATA",
    "$JS.API.CONSUMER.CREATE.KATA",
    "$JS.ACK.KATA",
    "$KV.KATA_TEAMS.t1",
    "$KV.KATA_KEYS.k1",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.SERVER.X.KICK",
    "$SYS.REQ.ACCOUNT.PUBLISHERS.CONNZ",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    `${inboxPrefixOf(other)}.x`,
    `${inboxPrefixOf(key)}.x`,
    "_INBOX.x",
    "anything",
  ];
  const before = await stateOf(rig.inside);
  for (const subject of [...refusedToPublish, ...allowedToPublish]) nc.publish(subject, "{}");
  await nc.flush();
  await vi.waitFor(() => expect(refused).toHaveLength(refusedToPublish.length));
  expect(refused).toEqual(refusedToPublish.map((subject) => `publish ${subject}`));

  refused.length = 0;
  const refusedToRead = [
    ">",
    "*",
    "kata.>",
    "kata.team.t1",
    "kata.team.t1.>",
    "kata.team.t2.>",
    "live.>",
    "live.kata.team.t1",
    "$JS.>",
    "$KV.>",
    "$SYS.>",
    "_R_.>",
    "_INBOX.>",
    "_INBOX_*.>",
    `${inboxPrefixOf(other)}.>`,
    inboxPrefixOf(key),
  ];
  nc.subscribe(`${inboxPrefixOf(key)}.mine`, { callback: () => undefined });
  for (const subject of refusedToRead) nc.subscribe(subject, { callback: () => undefined });
  await nc.flush();
  await vi.waitFor(() => expect(refused).toHaveLength(refusedToRead.length));
  expect(refused).toEqual(refusedToRead.map((subject) => `subscription ${subject}`));

  const after = await stateOf(rig.inside);
  expect(after.foreign).toEqual([]);
  expect(after.buckets).toEqual(before.buckets);
  expect(after.subjects.sort()).toEqual(["kata.team.t1", "kata.team.t1.agent.a1", "kata.team.t1.spec.s1"]);
  await nc.close();
});

test("[NATS-2] a key that is limited to channels may publish to those alone", async () => {
  await using rig = await createNatsRig();
  const channels = ["spec:s1", "agent:*", "team:t1", "team:t2"];
  const nc = await connectKey(rig.nats, rig.keys.add("t1", { channels }));
  const refused = violationsOf(nc);
  const allowed = ["kata.team.t1.spec.s1", "kata.team.t1.agent.a1", "kata.team.t1.agent.a2", "kata.team.t1"];
  const forbidden = ["kata.team.t1.spec.s2", "kata.team.t1.agent.a1.b", "kata.team.t1.other.x", "kata.team.t2"];
  for (const subject of [...forbidden, ...allowed]) nc.publish(subject, "{}");
  await nc.flush();
  await vi.waitFor(() => expect(refused).toEqual(forbidden.map((subject) => `publish ${subject}`)));
  expect((await stateOf(rig.inside)).subjects.sort()).toEqual(allowed.sort());
  await nc.close();
});

/** Where an answer would do harm if the server wrote it there. */
const TARGETS = [
  "kata.team.t2",
  "kata.team.t2.agent.a1",
  "kata.team.t1.agent.reply",
  "live.kata.team.t2",
  "$JS.API.STREAM.DELETE.KATA",
  "$JS.API.STREAM.PURGE.KATA",
  "$JS.API.STREAM.CREATE.MINE",
  "$KV.KATA_TEAMS.t2",
  "$KV.KATA_KEYS.k1",
  "kata.publisher.t2.about",
  "$SYS.REQ.USER.AUTH",
  "$SYS.REQ.SERVER.PING",
  "$SYS.REQ.ACCOUNT.PUBLISHERS.CONNZ",
];

async function everythingSeen(rig: NatsRig): Promise<string[]> {
  const seen: string[] = [];
  for (const subject of ["kata.>", "live.>", "$KV.>", "$SYS.>"]) {
    rig.inside.subscribe(subject, { callback: (_, msg) => void seen.push(`${msg.subject} ${msg.string()}`) });
  }
  await rig.inside.flush();
  return seen;
}

test("[NATS-2] an answer that is sent to a subject of the asker's choice changes nothing there", async () => {
  await using rig = await createNatsRig();
  const nc = await connectKey(rig.nats, rig.keys.add("t1"));
  await nc.request("kata.team.t1", "first");
  await nc.request("kata.publisher.t1.about");
  const before = await stateOf(rig.inside);
  const seen = await everythingSeen(rig);
  const doors: [subject: string, body: string][] = [
    ["kata.team.t1", "attack"],
    ["kata.publisher.t1.about", ""],
    ["kata.publisher.t1.find", "nonsense"],
    ["$SYS.REQ.USER.INFO", ""],
  ];
  for (const [subject, body] of doors) for (const reply of TARGETS) nc.publish(subject, body, { reply });
  // What was asked last is answered last, through every door.
  for (const [subject, body] of doors) await nc.request(subject, body);
  const after = await stateOf(rig.inside);
  expect(after).toEqual({ buckets: before.buckets, foreign: [], subjects: ["kata.team.t1"] });
  await vi.waitFor(() => expect(seen.filter((each) => each.startsWith("live.")).length).toBe(TARGETS.length + 1));
  const harmless = /^(live\.)?kata\.team\.t1 attack$|^kata\.publisher\.t1\.(about |find nonsense)$/;
  expect(seen.filter((each) => !harmless.test(each))).toEqual([]);
  await nc.close();
});

test("[NATS-2] a trace of a message is not sent where the publisher may not publish", async () => {
  await using rig = await createNatsRig();
  const nc = await connectKey(rig.nats, rig.keys.add("t1"));
  const refused = violationsOf(nc);
  await nc.request("kata.team.t1", "first");
  const seen = await everythingSeen(rig);
  const targets = ["kata.team.t2", "live.kata.team.t2", "$KV.KATA_TEAMS.t2", "$JS.API.STREAM.DELETE.KATA"];
  for (const target of targets) {
    const head = headers();
    head.set("Nats-Trace-Dest", target);
    nc.publish("kata.team.t1", "traced", { headers: head });
  }
  await nc.request("kata.team.t1", "last");
  await vi.waitFor(() => expect(refused).toEqual(targets.map((target) => `publish ${target}`)));
  await vi.waitFor(() => expect(seen).toContain("live.kata.team.t1 last"));
  expect(seen.filter((each) => !/^(live\.)?kata\.team\.t1 (traced|last)$/.test(each))).toEqual([]);
  await nc.close();
});
