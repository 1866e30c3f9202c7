import { expect, test } from "vitest";
import { retryAfterOf } from "./retry-after.ts";

const DATE = "Sun, 06 Nov 1994 08:49:37 GMT";
const NOW = Date.parse(DATE);

test.each([
  ["seconds", { "retry-after": "120" }, 120_000],
  ["none", { "retry-after": "0" }, 0],
  ["a date, from now", { "retry-after": "Sun, 06 Nov 1994 08:50:07 GMT" }, 30_000],
  ["a date that has passed", { "retry-after": "Sun, 06 Nov 1994 08:49:07 GMT" }, 0],
  [
    "a date, by the clock of the host that said it",
    { "retry-after": "Mon, 07 Nov 1994 08:49:47 GMT", date: "Mon, 07 Nov 1994 08:49:37 GMT" },
    10_000,
  ],
  ["a date, where the answer's own is none", { "retry-after": "Sun, 06 Nov 1994 08:50:07 GMT", date: "now" }, 30_000],
  ["nothing", { date: DATE }, undefined],
  ["less than nothing", { "retry-after": "-5" }, undefined],
  ["a number that is none of seconds", { "retry-after": "1e9" }, undefined],
  ["an empty one", { "retry-after": "" }, undefined],
  ["a date that is none", { "retry-after": "Sun, 41 Nov 1994 08:49:37 GMT" }, undefined],
  ["what somebody else calls a date", { "retry-after": "1994-11-06" }, undefined],
])("[LIMIT-1] a Retry-After asks for %s", (_, headers, ms) => {
  expect(retryAfterOf(headers, NOW)).toBe(ms);
});
