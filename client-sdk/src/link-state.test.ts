import { expect, test } from "vitest";
import { type LinkInput, type LinkStep, NEXT_LINK } from "./link-state.ts";

const INPUTS = ["ask", "leave", "subscribed", "caught_up", "unsubscribed", "retryable", "refused", "due", "offline"];

// A row a step, in the order of INPUTS. Written out: a new step does not compile until somebody has said what happens.
const EXPECTED: Record<LinkStep, string> = {
  idle: "subscribing idle idle idle idle idle idle idle idle",
  subscribing: "subscribing leaving replaying subscribing subscribing pausing idle subscribing idle",
  replaying: "replaying leaving replaying live pausing pausing idle replaying idle",
  live: "live leaving replaying live pausing pausing idle live idle",
  leaving: "leaving leaving leaving leaving idle idle idle leaving idle",
  pausing: "pausing idle pausing pausing pausing pausing pausing idle idle",
};

test.each(Object.entries(EXPECTED))("what each input does to a channel that is %s", (step, row) => {
  expect(Object.keys(NEXT_LINK[step as LinkStep]).sort()).toEqual([...INPUTS].sort());
  const actual = INPUTS.map((input) => NEXT_LINK[step as LinkStep][input as LinkInput]);
  expect(actual.join(" ")).toBe(row);
});

test("whatever was agreed ends with the connection", () => {
  for (const row of Object.values(NEXT_LINK)) expect(row.offline).toBe("idle");
});
