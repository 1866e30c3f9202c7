import fc from "fast-check";
import { expect, it } from "vitest";
import { plain, plainJson } from "./plain.ts";

it("writes out what could steer a terminal or split a line, and nothing else", () => {
  expect(plain("a\tb\n\r\0\x1b\x7f\x85\u2028\u202e größer 🐟")).toBe(
    String.raw`a${"\t"}b\n\r\x00\x1b\x7f\x85\u2028\u202e größer 🐟`,
  );
});

it("keeps the value of JSON, on one line", () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: "binary" }), (json) => {
      const compact = JSON.stringify(JSON.parse(json));
      const line = plainJson(compact);
      expect(JSON.parse(line)).toEqual(JSON.parse(compact));
      expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
    }),
  );
});
