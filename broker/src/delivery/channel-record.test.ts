import { encodeEvent } from "@kata/protocol/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countLines, decodeRecord, forEachEvent, sliceAfter } from "./channel-record.ts";

const AT = "2026-11-23T10:00:00.000Z";

function record(text: string | Uint8Array, seq = 7) {
  const data = typeof text === "string" ? new TextEncoder().encode(text) : text;
  return decodeRecord({ seq, subject: "kata.team.t1", check: "00zz", data }, "team:t1", "abc");
}

function envelopes(decoded: ReturnType<typeof record>, afterLine = -1): Record<string, unknown>[] {
  const found: Record<string, unknown>[] = [];
  forEachEvent(decoded, afterLine, (bytes) => found.push(JSON.parse(bytes.toString("utf8"))));
  return found;
}

describe("[EVENT-3] records", () => {
  it("become one envelope a line, with channel and a place of their own", () => {
    const lines = [1, 2, 3].map((i) => encodeEvent("log_entry", AT, { message: `grün ${i}` }));
    const decoded = record(lines.join("\n"));
    expect(envelopes(decoded)).toEqual(
      [1, 2, 3].map((i) => ({
        type: "log_entry",
        timestamp: AT,
        encoding: "json",
        payload: { message: `grün ${i}` },
        channel: "team:t1",
        eventId: i === 1 ? "abc-7-00zz" : `abc-7-00zz.${i - 1}`,
      })),
    );
    expect(decoded.bytes.toString("utf8").split("\n")).toHaveLength(3);
    expect(decoded.invalid).toBe(0);
  });

  it("[ENVELOPE-6] that carry channel and eventId of their own cannot override the broker's", () => {
    const forged = `{"eventId":"x-1-0000","channel":"team:other","type":"log_entry","timestamp":"${AT}","encoding":"json","payload":{},"eventId":"y","channel":"z"}`;
    expect(envelopes(record(forged))).toEqual([
      { type: "log_entry", timestamp: AT, encoding: "json", payload: {}, channel: "team:t1", eventId: "abc-7-00zz" },
    ]);
  });

  it("[ENVELOPE-7] keep a traceparent as it was stored, well formed or not", () => {
    const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const stored = [encodeEvent("a", AT, 1, trace), encodeEvent("b", AT, 2), encodeEvent("c", AT, 3, "no trace")];
    const traces = envelopes(record(stored.join("\n"))).map(({ type, traceparent }) => [type, traceparent]);
    expect(traces).toEqual([
      ["a", trace],
      ["b", undefined],
      ["c", "no trace"],
    ]);
  });

  it("keep the places of their lines when one of them is no event", () => {
    const good = encodeEvent("log_entry", AT, 1);
    const decoded = record([good, "no event", good].join("\n"));
    expect(envelopes(decoded).map((each) => each.eventId)).toEqual(["abc-7-00zz", "abc-7-00zz.2"]);
    expect(decoded.invalid).toBe(1);
    expect(decoded.lastLine).toBe(2);
    expect(sliceAfter(decoded, 0)?.toString("utf8")).toContain(".2");
    expect(sliceAfter(decoded, 2)).toBeUndefined();
  });

  it("of a stranger may spread one event over lines", () => {
    const pretty = JSON.stringify({ type: "deploy", timestamp: AT, encoding: "json", payload: { a: [1, 2] } }, null, 2);
    expect(envelopes(record(pretty))).toEqual([
      {
        type: "deploy",
        timestamp: AT,
        encoding: "json",
        payload: { a: [1, 2] },
        channel: "team:t1",
        eventId: "abc-7-00zz",
      },
    ]);
  });

  it.each([
    ["nothing", ""],
    ["no JSON", "hello"],
    ["an array", "[]"],
    ["half an object", '{"type":"log_entry"'],
    ["no payload", `{"type":"log_entry","timestamp":"${AT}","encoding":"json"}`],
    ["a control type", `{"type":"subscribed","timestamp":"${AT}","encoding":"json","payload":{}}`],
    [
      "a control type said twice",
      `{"type":"log_entry","timestamp":"${AT}","encoding":"json","payload":{},"type":"pong"}`,
    ],
    ["another encoding", `{"type":"log_entry","timestamp":"${AT}","encoding":"cbor","payload":{}}`],
    ["a timestamp that is a number", `{"type":"log_entry","timestamp":1,"encoding":"json","payload":{}}`],
    [
      "a traceparent that is null",
      `{"type":"log_entry","timestamp":"${AT}","encoding":"json","traceparent":null,"payload":{}}`,
    ],
    ["bytes that are no UTF-8", Uint8Array.from([0x7b, 0xff, 0x7d])],
  ])("that are %s are skipped", (_what, text) => {
    const decoded = record(text);
    expect(envelopes(decoded)).toEqual([]);
    expect(decoded.bytes).toHaveLength(0);
    expect(decoded.invalid).toBe(1);
  });

  it("of any bytes give only whole JSON objects in the frames", () => {
    const line = fc.oneof(
      fc.string(),
      fc.json(),
      fc.json().map((payload) => `{"type":"a","timestamp":"${AT}","encoding":"json","payload":${payload}}`),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 5 }), (lines) => {
        const data = new TextEncoder().encode(lines.join("\n"));
        const decoded = record(data);
        expect(countLines(data)).toBe(decoded.lastLine + 1);
        for (const each of envelopes(decoded)) expect(each.channel).toBe("team:t1");
        const whole = decoded.bytes.length === 0 ? [] : decoded.bytes.toString("utf8").split("\n");
        expect(whole).toHaveLength(decoded.ends.length);
        for (const text of whole) JSON.parse(text);
      }),
    );
  });
});
