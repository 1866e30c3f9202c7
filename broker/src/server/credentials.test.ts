import { describe, expect, it } from "vitest";
import { parseCredentials, parseSubprotocols } from "./credentials.ts";

describe("[CONNECT-2] credentials", () => {
  const none = { apiKey: "", authorization: "" };
  it.each([
    [none, {}],
    [{ ...none, apiKey: "k" }, { apiKey: "k" }],
    [{ ...none, authorization: "Bearer t" }, { token: "t" }],
    [{ ...none, authorization: "bearer  t " }, { token: "t" }],
    [{ ...none, authorization: "Basic t" }, {}],
    [{ ...none, bearer: "b" }, { token: "b" }],
    [{ apiKey: "k", authorization: "Bearer t", bearer: "b" }, { apiKey: "k" }],
  ])("%j is %j", (headers, expected) => {
    expect(parseCredentials(headers)).toEqual(expected);
  });
});

describe("[CONNECT-3] subprotocols", () => {
  it.each([
    ["", undefined, undefined],
    ["chat", undefined, undefined],
    ["kata.v1", "kata.v1", undefined],
    ["kata.v1.ndjson, kata.v1, bearer.abc", "kata.v1.ndjson", "abc"],
    ["bearer.a.b.c,kata.v1", "kata.v1", "a.b.c"],
  ])("%j: chosen %s, bearer %s", (header, chosen, bearer) => {
    expect(parseSubprotocols(header)).toEqual({ chosen, bearer });
  });
});
