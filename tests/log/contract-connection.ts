import { describe, expect, it } from "vitest";
import { type EventLog, LogUnavailableError } from "../../broker/src/log/event-log.ts";
import { eventually, type LogRig, SUBJECT } from "./contract.ts";

/** Every method that asks. */
export const QUESTIONS: readonly [name: string, ask: (log: EventLog) => Promise<unknown>][] = [
  ["state", (log) => log.state()],
  ["head", (log) => log.head(SUBJECT)],
  ["at", (log) => log.at(1)],
  ["read", (log) => log.read({ subject: SUBJECT, from: { seq: 1 }, records: 1, bytes: 1 })],
  ["heads", (log) => log.heads([SUBJECT], 1)],
  ["live", (log) => log.live(SUBJECT, () => undefined)],
];

export function describeConnection(create: () => Promise<LogRig>): void {
  describe("a log that is away", () => {
    it.each(QUESTIONS)("%s() rejects, and answers when it is back", async (_name, ask) => {
      await using rig = await create();
      await rig.store(SUBJECT);
      const before = JSON.stringify(await ask(rig.log));
      await rig.cut();
      await expect(ask(rig.log)).rejects.toBeInstanceOf(LogUnavailableError);
      await expect(ask(rig.log)).rejects.toMatchObject({ code: "unavailable" });
      await rig.heal();
      expect(JSON.stringify(await ask(rig.log))).toBe(before);
    });

    it.each(QUESTIONS)("%s() rejects when the connection breaks before the answer", async (_name, ask) => {
      await using rig = await create();
      await rig.store(SUBJECT);
      rig.silence();
      const answer = expect(ask(rig.log)).rejects.toBeInstanceOf(LogUnavailableError);
      await rig.cut();
      await answer;
      await rig.heal();
      await ask(rig.log);
    });

    it("is told once, and so is its return; `connected` is right when it is told", async () => {
      await using rig = await create();
      const told: unknown[] = [rig.log.connected];
      rig.log.listen((event) => told.push(event, rig.log.connected));
      await rig.cut();
      await rig.heal();
      expect(told).toEqual([true, "disconnected", false, "reconnected", true]);
    });

    it("does not hand on what is stored meanwhile; what comes then tells of the hole", async () => {
      await using rig = await create();
      const got: unknown[] = [];
      await rig.log.live(SUBJECT, (record) => got.push(record && [record.seq, record.prevSeq]));
      await rig.store(SUBJECT);
      await eventually(() => got.length).toBe(1);
      await rig.cut();
      await rig.store(SUBJECT);
      await rig.heal();
      expect((await rig.log.state()).lastSeq).toBe(2);
      await rig.store(SUBJECT);
      const expected = [
        [1, 0],
        [3, 2],
      ];
      await eventually(() => got).toEqual(expected);
    });

    it("a feed that could not be made stays without records", async () => {
      await using rig = await create();
      const got: unknown[] = [];
      rig.silence();
      const asked = expect(rig.log.live(SUBJECT, () => got.push("asked before"))).rejects.toThrow();
      await rig.cut();
      await asked;
      await expect(rig.log.live(SUBJECT, () => got.push("asked meanwhile"))).rejects.toThrow();
      await rig.heal();
      await rig.log.live(SUBJECT, () => got.push("asked then"));
      await rig.store(SUBJECT);
      await eventually(() => got.length).toBeGreaterThan(0);
      expect(got).toEqual(["asked then"]);
    });
  });

  describe("listeners", () => {
    it("are told in order of registration, until they are removed", async () => {
      await using rig = await create();
      const told: string[] = [];
      const removeFirst = rig.log.listen((event) => told.push(`first ${event}`));
      rig.log.listen((event) => told.push(`second ${event}`));
      const removeThird = rig.log.listen((event) => {
        told.push(`third ${event}`);
        removeThird();
      });
      rig.log.listen((event) => told.push(`fourth ${event}`));
      await rig.cut();
      removeFirst();
      await rig.heal();
      expect(told).toEqual([
        "first disconnected",
        "second disconnected",
        "third disconnected",
        "fourth disconnected",
        "second reconnected",
        "fourth reconnected",
      ]);
    });
  });

  describe("close()", () => {
    for (const [name, ask] of QUESTIONS) {
      it(`${name}() rejects after it`, async () => {
        await using rig = await create();
        await rig.store(SUBJECT);
        await rig.log.close();
        expect(rig.log.connected).toBe(false);
        await expect(ask(rig.log)).rejects.toBeInstanceOf(LogUnavailableError);
      });
    }

    it.each(QUESTIONS.filter(([name]) => name !== "live"))(
      "%s() that waits for an answer rejects",
      async (_name, ask) => {
        await using rig = await create();
        rig.silence();
        const answer = expect(ask(rig.log)).rejects.toBeInstanceOf(LogUnavailableError);
        await rig.log.close();
        await answer;
      },
    );

    it("nobody is told of anything after it", async () => {
      await using rig = await create();
      const told: string[] = [];
      rig.log.listen((event) => told.push(event));
      await rig.log.close();
      await rig.cut();
      await rig.heal();
      expect([told, rig.log.connected]).toEqual([[], false]);
    });

    it("can be done again, and while the log is away", async () => {
      await using rig = await create();
      await rig.cut();
      await rig.log.close();
      await rig.log.close();
    });
  });
}
