import { expect, test } from "vitest";
import { inboxPrefixOf } from "./inbox.ts";

test("a key's inbox is what brokers take it for", () => {
  expect(inboxPrefixOf("kat_live_dev_0123456789abcdef")).toBe("_INBOX_009ea3b66d38e1883b09299c419f1b86");
  expect(inboxPrefixOf("kat_live_dev_0123456789abcdeg")).not.toBe(inboxPrefixOf("kat_live_dev_0123456789abcdef"));
});
