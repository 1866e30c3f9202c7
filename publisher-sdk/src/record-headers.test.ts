import { expect, test } from "vitest";
import { OutgoingRecord, type RecordIdentity } from "./record.ts";
import { createRecordHeaders } from "./record-headers.ts";

const record = (identity: RecordIdentity) => {
  const made = new OutgoingRecord("agent:a1", "kata.team.t1.agent.a1", identity, 0);
  made.add("{}", 0, 0, () => {});
  return made;
};

test.each([true, false])("a record has its own id and what is expected of the stream, shared: %s", (shared) => {
  const headersOf = createRecordHeaders("KATA", shared);
  const keyed = record({ messageId: "k-1", publishId: "p", key: "k" });
  expect([...headersOf(record({ messageId: "m1" }))].sort()).toEqual([
    ["Nats-Expected-Stream", ["KATA"]],
    ["Nats-Msg-Id", ["m1"]],
  ]);
  expect(Object.fromEntries(headersOf(keyed))).toMatchObject({
    "Nats-Expected-Stream": ["KATA"],
    "Nats-Msg-Id": ["k-1"],
    "Kata-Publish-Id": ["p"],
    "Kata-Digest": [keyed.digest],
  });
  expect([...headersOf(record({ messageId: "m2" }))].sort()).toEqual([
    ["Nats-Expected-Stream", ["KATA"]],
    ["Nats-Msg-Id", ["m2"]],
  ]);
});

test("where they are not shared, what is done to one record's headers is not seen in another's", () => {
  const headersOf = createRecordHeaders("KATA", false);
  const first = headersOf(record({ messageId: "m1" }));
  first.set("traceparent", "t");
  expect(headersOf(record({ messageId: "m2" })).has("traceparent")).toBe(false);
  expect(first.get("Nats-Msg-Id")).toBe("m1");
});
