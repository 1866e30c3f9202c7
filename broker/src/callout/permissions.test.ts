import fc from "fast-check";
import { expect, test } from "vitest";
import type { ApiKeyPrincipal } from "../auth/principal.ts";
import { inboxPrefixOf, permissionsOf } from "./permissions.ts";

const key = (channels?: readonly string[]): ApiKeyPrincipal => ({
  type: "api_key",
  teamId: "t1",
  keyId: "k",
  scopes: ["publish"],
  ...(channels === undefined ? {} : { channels }),
});
const ALWAYS = ["kata.publisher.t1.>", "$SYS.REQ.USER.INFO"];

test.each([
  [undefined, ["kata.team.t1", "kata.team.t1.spec.*", "kata.team.t1.agent.*"]],
  [[], []],
  [["spec:s1"], ["kata.team.t1.spec.s1"]],
  [["agent:a1", "agent:a1"], ["kata.team.t1.agent.a1"]],
  [["spec:*"], ["kata.team.t1.spec.*"]],
  [
    ["agent:*", "agent:a1"],
    ["kata.team.t1.agent.*", "kata.team.t1.agent.a1"],
  ],
  [["team:*"], ["kata.team.t1"]],
  [["team:t1"], ["kata.team.t1"]],
  [["team:t2"], []],
  [["room:*", "spec:>", "spec:a.b", "*", ">", ""], []],
])("a key for %j may publish to %j", (channels, subjects) => {
  expect(permissionsOf(key(channels), "kat_x").pub?.allow).toEqual([...subjects, ...ALWAYS]);
});

test("whatever a key is limited to, it is let out of its team by none of it", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `spec:${text}`),
        ),
      ),
      (channels) => {
        for (const subject of permissionsOf(key(channels), "kat_x").pub?.allow ?? []) {
          expect(subject).toMatch(
            /^(kata\.team\.t1(\.(spec|agent)\.(\*|[\w-]{1,128}))?|kata\.publisher\.t1\.>|\$SYS\.REQ\.USER\.INFO)$/,
          );
        }
      },
    ),
  );
});

test("it reads one inbox, which the key alone names", () => {
  expect(permissionsOf(key(), "kat_x")).toMatchObject({
    sub: { allow: [`${inboxPrefixOf("kat_x")}.>`], deny: [] },
    subs: 16,
    payload: 1_048_576,
    allowed_connection_types: ["STANDARD", "WEBSOCKET"],
  });
  // The publisher SDK computes the same.
  expect(inboxPrefixOf("kat_live_dev_0123456789abcdef")).toBe("_INBOX_009ea3b66d38e1883b09299c419f1b86");
});
