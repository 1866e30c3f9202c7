import { describe, expect, it, vi } from "vitest";
import { AccessBusyError, FairAccess } from "./fair-access.ts";

/** An application that answers when the test lets it. */
function rig(perTeam: number, waitMs = 1_000) {
  const open: { readonly id: string; readonly answer: (team: string) => void; readonly fail: () => void }[] = [];
  const ask = (id: string) =>
    new Promise<string>((resolve, reject) => {
      open.push({ id, answer: resolve, fail: () => reject(new Error("away")) });
    });
  const fair = new FairAccess({ resolveSpecTeamId: ask, resolveAgentTeamId: ask }, { perTeam, waitMs });
  return { open, fair, asked: () => open.map(({ id }) => id) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("whose a channel is", () => {
  it("is asked for one team so much at a time, in order, and for another at once", async () => {
    const { open, fair, asked } = rig(2);
    const answers = ["a", "b", "c", "d"].map((id) => fair.of("t1").resolveSpecTeamId(id));
    const other = fair.of("t2").resolveAgentTeamId("e");
    await turn();
    expect(asked()).toEqual(["a", "b", "e"]);
    open[0]?.fail();
    await expect(answers[0]).rejects.toThrow("away");
    await turn();
    expect(asked()).toEqual(["a", "b", "e", "c"]);
    for (const { answer } of open) answer("t1");
    await turn();
    for (const { answer } of open) answer("t1");
    expect(await Promise.all([...answers.slice(1), other])).toEqual(["t1", "t1", "t1", "t1"]);
    expect(fair.size).toBe(0);
  });

  it("is an outage for who does not get his turn in time, or finds too many before him", async () => {
    vi.useFakeTimers();
    try {
      const { fair } = rig(1, 100);
      void fair.of("t1").resolveSpecTeamId("a");
      const late = expect(fair.of("t1").resolveSpecTeamId("b")).rejects.toBeInstanceOf(AccessBusyError);
      const waiting = Array.from({ length: 999 }, () =>
        fair
          .of("t1")
          .resolveSpecTeamId("c")
          .catch(() => "late"),
      );
      await vi.advanceTimersByTimeAsync(0);
      await expect(fair.of("t1").resolveSpecTeamId("d")).rejects.toBeInstanceOf(AccessBusyError);
      await vi.advanceTimersByTimeAsync(100);
      await late;
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(["late"]));
    } finally {
      vi.useRealTimers();
    }
  });
});
