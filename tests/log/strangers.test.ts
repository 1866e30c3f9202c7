import { checkOf } from "@kata/protocol/wire";
import { describe, expect, it } from "vitest";
import type { LiveRecord } from "../../broker/src/log/event-log.ts";
import { eventually, plain, SUBJECT } from "./contract.ts";
import { createJetStreamRig } from "./jetstream-rig.ts";
import { publishRaw } from "./raw-publish.ts";

// Whoever may publish writes what he likes into the headers, and the server appends its own words to them.

/** Stores a record with these headers between two others, and sees that everybody tells the same of all three. */
async function publishBetween(block: string): Promise<string | undefined> {
  await using rig = await createJetStreamRig();
  const { log } = rig;
  const live: (LiveRecord | undefined)[] = [];
  await log.live(SUBJECT, (record) => live.push(record));
  await rig.store(SUBJECT, "1");
  await publishRaw(rig.port, SUBJECT, block, "odd");
  await eventually(async () => (await log.state()).lastSeq).toBe(2);
  const head = await log.head(SUBJECT);
  const heads = await log.heads([SUBJECT], 2);
  await rig.store(SUBJECT, "3");
  await eventually(() => live.length).toBe(3);
  const at = await log.at(2);
  const first = await log.read({ subject: SUBJECT, from: { seq: 1 }, records: 2, bytes: 1_000_000 });
  const all = await log.read({ subject: SUBJECT, from: { seq: 1 }, records: 9, bytes: 1_000_000 });
  const odd = { seq: 2, subject: SUBJECT, check: at?.check, data: "odd" };
  expect(plain(at)).toEqual(odd);
  expect(plain(head)).toEqual(odd);
  expect(plain(first.records[1])).toEqual(odd);
  expect(heads).toEqual(new Map([[SUBJECT, { seq: 2, check: at?.check }]]));
  expect(live.map(plain)).toEqual(all.records.map(plain));
  expect(live.map((record) => [record?.seq, record?.prevSeq])).toEqual([
    [1, 0],
    [2, 1],
    [3, 2],
  ]);
  expect([first.pending, all.pending]).toEqual([1, 0]);
  return at?.check;
}

describe("headers that a stranger wrote", () => {
  const FORGED = [
    "Nats-Stream: OTHER",
    "Nats-Subject: kata.team.forged",
    "Nats-Sequence: 77",
    "Nats-Last-Sequence: 76",
    "Nats-Time-Stamp: 2000-01-01T00:00:00Z",
    "Nats-Num-Pending: 99",
    "Nats-UpTo-Sequence: 3",
  ];

  it("in the server's name fool nobody", async () => {
    expect(await publishBetween(`NATS/1.0\r\n${FORGED.join("\r\n")}\r\n\r\n`)).toBe(checkOf("odd"));
    expect(await publishBetween(`NATS/1.0\r\n\r\n${FORGED.join("\r\n")}\r\n\r\n\r\n`)).toBe(checkOf("odd"));
  });

  it.each([
    ["the first of two", "NATS/1.0\r\nNats-Msg-Id: one\r\nNats-Msg-Id: two\r\n\r\n", "one"],
    ["beside lines that are none", "NATS/1.0\r\n: x\r\nno header\r\nA : b\r\nNats-Msg-Id: id\r\n\r\n", "id"],
    ["not one in another header", "NATS/1.0\r\nX: Nats-Msg-Id: id\r\nX-Nats-Msg-Id: id\r\n\r\n", "odd"],
    ["not an empty one", "NATS/1.0\r\nNats-Msg-Id:  \r\n\r\n", "odd"],
    ["one that is no ASCII", "NATS/1.0\r\nNats-Msg-Id: grün\r\n\r\n", "grün"],
  ])("name the message id: %s", async (_what, block, identity) => {
    expect(await publishBetween(block)).toBe(checkOf(identity));
  });

  it.each([
    "NATS/1.0 404 Message Not Found\r\nA: b\r\n\r\n",
    "NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n",
    "NATS/1.0 503\r\n\r\n",
    "NATS/1.0\r\n\r\n",
    "NATS/1.0",
    "\r\n\r\n",
    // Not one byte: that ends nats-server 2.15.1.
    "xy",
    "NATS/1.0 204 EOB\r\n",
  ])("make no answer of a record: %j", async (block) => {
    expect(await publishBetween(block)).toBe(checkOf("odd"));
  });

  it.each(["NATS/1.0 404 no", "NATS/1.0 204 EOB", "NATS/1.0 503 x"])(
    "that do not end make no answer of a record: %j",
    async (block) => {
      expect(await publishBetween(block)).toBe(checkOf("odd"));
    },
  );

  it.each(["\r\n", "", "x", "\r"])("give the same check, whoever is asked, where they end with %j", async (end) => {
    await publishBetween(`NATS/1.0\r\nNats-Msg-Id: an id${end}`);
  });
});
