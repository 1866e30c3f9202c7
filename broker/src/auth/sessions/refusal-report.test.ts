import { expect, it } from "vitest";
import { createRefusalReport } from "./refusal-report.ts";

it("each code is told once in a while, with how many times it came up since", () => {
  let now = 0;
  const lines: [string, number][] = [];
  const report = createRefusalReport({
    write: (code, count) => lines.push([code, count]),
    everyMs: 100,
    now: () => now,
  });
  for (let n = 0; n < 1_000; n++) report("jwt_signature");
  report("jwt_expired");
  now = 99;
  report("jwt_signature");
  expect(lines).toEqual([
    ["jwt_signature", 1],
    ["jwt_expired", 1],
  ]);
  now = 100;
  report("jwt_signature");
  expect(lines.at(-1)).toEqual(["jwt_signature", 1_001]);
});
