import { expect, it } from "vitest";
import { startOf } from "./start.ts";

it.each([
  [{}, {}],
  [{ since: "abc-5-0000.2" }, { lastEventId: "abc-5-0000.2" }],
  [{ rewind: "all" }, { rewind: "all" }],
  [{ rewind: "0" }, { rewind: { count: 0 } }],
  [{ rewind: "100000" }, { rewind: { count: 100_000 } }],
  [{ rewind: "90s" }, { rewind: { seconds: 90 } }],
  [{ rewind: "10m" }, { rewind: { seconds: 600 } }],
  [{ rewind: "2h" }, { rewind: { seconds: 7_200 } }],
  [{ rewind: "366d" }, { rewind: { seconds: 366 * 86_400 } }],
  [{ untilEnd: true }, { rewind: { count: 1 } }],
  [{ untilEnd: true, rewind: "0" }, { rewind: { count: 0 } }],
  [{ untilEnd: true, since: "abc-5-0000" }, { lastEventId: "abc-5-0000" }],
])("[SUBSCRIBE-5] %j starts at %j", (options, expected) => {
  expect(startOf(options)).toEqual(expected);
});

it.each([
  [{ since: "a-1-0000", rewind: "3" }, "give --since or --rewind, not both"],
  [{ since: "yesterday" }, "--since takes an eventId"],
  [{ since: "" }, "--since takes an eventId"],
  [{ rewind: "" }, "--rewind takes a number of events, a time such as"],
  [{ rewind: "-3" }, "--rewind takes"],
  [{ rewind: "3w" }, "--rewind takes"],
  [{ rewind: "1.5h" }, "--rewind takes"],
  [{ rewind: "100001" }, "--rewind goes back 100000 events at most"],
  [{ rewind: "0s" }, "--rewind goes back from 1s to 366d"],
  [{ rewind: "367d" }, "--rewind goes back from 1s to 366d"],
])("%j is refused: %s", (options, message) => {
  expect(() => startOf(options)).toThrow(message);
});
