import { expect, test } from "vitest";
import { decode } from "./decode.ts";
import { error, pong, tokenExpiring } from "./testing/messages.ts";
import { isWarning, lastWord } from "./unasked.ts";

function read(message: object): ReturnType<typeof decode> {
  return decode(JSON.stringify(message));
}

test("[AUTH-3] token_expiring is a warning and no last word, whenever it comes", () => {
  expect(isWarning(read(tokenExpiring()))).toBe(true);
  expect(lastWord(read(tokenExpiring()), "greeting")).toBeUndefined();
  expect(lastWord(read(tokenExpiring()), "connected")).toBeUndefined();
});

test.each([
  ["at the door any error is the last word", error("rate_limited", true), "rate_limited", undefined],
  ["that the token has expired is so later too", error("token_expired", true), "token_expired", "token_expired"],
  ["an answer to a command is none", error("token_expired", true, { id: 3 }), undefined, undefined],
  ["an error of a channel is none", error("forbidden", false, { channel: "team:t1" }), undefined, undefined],
  ["what is no error is none", pong("0-0-0000", 1), undefined, undefined],
])("%s", (_what, message, greeting, connected) => {
  expect(isWarning(read(message))).toBe(false);
  expect(lastWord(read(message), "greeting")?.code).toBe(greeting);
  expect(lastWord(read(message), "connected")?.code).toBe(connected);
});
