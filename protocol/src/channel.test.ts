import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseChannel, subjectOf } from "./channel.ts";

describe("[CHANNEL-1] channels", () => {
  it("map to the subject of the team that owns them", () => {
    const subject = (name: string, team: string) => {
      const channel = parseChannel(name);
      if (channel === undefined) throw new Error(`${name} did not parse`);
      return subjectOf(channel, team);
    };
    expect(subject("team:t1", "t1")).toBe("kata.team.t1");
    expect(subject("spec:s-1", "t1")).toBe("kata.team.t1.spec.s-1");
    expect(subject("agent:a_1", "t1")).toBe("kata.team.t1.agent.a_1");
    expect(() => subject("team:t1", "t2")).toThrow(TypeError);
    expect(() => subject("spec:s", "t.>")).toThrow(TypeError);
  });

  it("never carry anything that NATS reads as more than a token", () => {
    fc.assert(
      fc.property(fc.string(), (id) => {
        const channel = parseChannel(`agent:${id}`);
        if (channel !== undefined) expect(subjectOf(channel, "t").split(".")).toHaveLength(5);
        expect(channel !== undefined).toBe(/^[A-Za-z0-9_-]{1,128}$/.test(id));
      }),
    );
  });

  it.each([
    "",
    "team",
    "team:",
    "team:a.b",
    "team:*",
    "team:>",
    "team:a b",
    "Team:a",
    "user:a",
    "team:a\n",
    `team:${"x".repeat(129)}`,
    1,
  ])("refuse %j", (name) => {
    expect(parseChannel(name)).toBeUndefined();
  });
});
