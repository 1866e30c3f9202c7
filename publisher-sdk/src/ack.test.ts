import type { Msg } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { readAck } from "./ack.ts";

function answer(body: unknown, code = 0): Msg {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { headers: code === 0 ? undefined : { code }, json: () => JSON.parse(text) as unknown } as unknown as Msg;
}

test("reads an acknowledgement", () => {
  expect(readAck(answer({ stream: "KATA", seq: 7 }), "KATA")).toEqual({ kind: "stored", seq: 7, duplicate: false });
  expect(readAck(answer({ stream: "KATA", domain: "d", seq: 7, duplicate: true }), "KATA")).toMatchObject({
    duplicate: true,
  });
});

test("no responders: nobody takes it now", () => {
  expect(readAck(answer("", 503), "KATA")).toEqual({ kind: "nobody" });
});

// Codes and texts as nats-server 2.15 has them in server/errors.json.
test.each([
  [503, 10077, "maximum bytes exceeded", "later"],
  [503, 10008, "JetStream system temporarily unavailable", "later"],
  [503, 10023, "insufficient resources", "later"],
  [500, 10047, "insufficient storage resources available", "later"],
  [409, 10158, "duplicate message id is in process", "later"],
  [429, 10167, "too many requests", "later"],
  [400, 10060, "expected stream does not match", "refused"],
  [400, 10109, "invalid operation on sealed stream", "refused"],
  [400, 10054, "message size exceeds maximum allowed", "refused"],
])("%i/%i %s: %s", (code, err_code, description, kind) => {
  const ack = readAck(answer({ stream: "KATA", seq: 0, error: { code, err_code, description } }), "KATA");
  expect(ack).toMatchObject({ kind, why: `${description} (${err_code})` });
  if (ack.kind === "refused") expect(ack.code).toBe(err_code === 10054 ? "too_large" : "rejected");
});

test("another stream on the subject is no success", () => {
  expect(readAck(answer({ stream: "OTHER", seq: 1 }), "KATA")).toMatchObject({ kind: "refused", code: "rejected" });
});

test.each(["", "{", "null", "7", '{"stream":"KATA"}', '{"stream":"KATA","seq":0}', '{"stream":"KATA","seq":1.5}'])(
  "what cannot be read (%s) is asked again, not believed",
  (body) => {
    expect(readAck(answer(body), "KATA")).toMatchObject({ kind: "later" });
  },
);
