import { checkOf } from "@kata/protocol/wire";
import { describe, expect, it } from "vitest";
import { type ContractOptions, type LogRig, NEVER, OTHERS, SUBJECT } from "./contract.ts";

export function describeHeads(create: () => Promise<LogRig>, options: ContractOptions): void {
  describe("heads()", () => {
    const seqs = async (rig: LogRig, subjects: readonly string[], upToSeq: number) => {
      const heads = await rig.log.heads(subjects, upToSeq);
      return Object.fromEntries([...heads].map(([subject, { seq }]) => [subject, seq]));
    };

    it("are the newest records up to the sequence; a subject without one is absent", async () => {
      await using rig = await create();
      for (const subject of [SUBJECT, OTHERS[0], SUBJECT, OTHERS[1], SUBJECT]) await rig.store(subject);
      const asked = [SUBJECT, OTHERS[0], OTHERS[1], NEVER];
      expect(await seqs(rig, asked, 5)).toEqual({ [SUBJECT]: 5, [OTHERS[0]]: 2, [OTHERS[1]]: 4 });
      expect(await seqs(rig, asked, 4)).toEqual({ [SUBJECT]: 3, [OTHERS[0]]: 2, [OTHERS[1]]: 4 });
      expect(await seqs(rig, asked, 1)).toEqual({ [SUBJECT]: 1 });
      expect(await seqs(rig, [NEVER], 5)).toEqual({});
      expect(await seqs(rig, [], 5)).toEqual({});
    });

    it("are told with their checks, and only those that were asked for", async () => {
      await using rig = await create();
      for (const other of OTHERS) await rig.store(other);
      const seq = await rig.store(SUBJECT, "data", "id");
      await rig.store(OTHERS[0]);
      expect(await rig.log.heads([SUBJECT], seq + 1)).toEqual(new Map([[SUBJECT, { seq, check: checkOf("id") }]]));
    });

    it("are none for a sequence that was never given out, so that the record there is missed", async () => {
      await using rig = await create();
      expect(await seqs(rig, [SUBJECT], 1)).toEqual({});
      await rig.store(SUBJECT);
      expect(await seqs(rig, [SUBJECT], 2)).toEqual({});
    });

    it("are none up to the place before everything", async () => {
      await using rig = await create();
      await rig.store(SUBJECT);
      expect(await seqs(rig, [SUBJECT], 0)).toEqual({});
    });

    it("are those that are left after a trim or a purge", async () => {
      await using rig = await create();
      for (const subject of [SUBJECT, OTHERS[0], SUBJECT, OTHERS[1], SUBJECT, OTHERS[0]]) await rig.store(subject);
      const asked = [SUBJECT, OTHERS[0], OTHERS[1]];
      await rig.trim(3);
      expect(await seqs(rig, asked, 2)).toEqual({});
      expect(await seqs(rig, asked, 4)).toEqual({ [SUBJECT]: 3, [OTHERS[1]]: 4 });
      await rig.purge(SUBJECT, 5);
      expect(await seqs(rig, asked, 4)).toEqual({ [OTHERS[1]]: 4 });
      expect(await seqs(rig, asked, 6)).toEqual({ [SUBJECT]: 5, [OTHERS[0]]: 6, [OTHERS[1]]: 4 });
      await rig.purge(OTHERS[0]);
      expect(await seqs(rig, asked, 6)).toEqual({ [SUBJECT]: 5, [OTHERS[1]]: 4 });
    });

    it("can be asked of a thousand subjects", async () => {
      await using rig = await create();
      const subjects = Array.from({ length: 1_000 }, (_, i) => `kata.team.demo.agent.a${i}`);
      await Promise.all(subjects.filter((_, i) => i % 2 === 0).map((subject) => rig.store(subject)));
      const heads = await rig.log.heads(subjects, 500);
      expect([...heads.keys()].sort()).toEqual(subjects.filter((_, i) => i % 2 === 0).sort());
    });

    it("are all told, even where the records are too long for one answer", async () => {
      await using rig = await create();
      const subjects = Array.from({ length: 80 }, (_, i) => `kata.team.demo.agent.a${i}`);
      const data = new Uint8Array(options.largeBytes).fill(120);
      for (const subject of subjects) await rig.store(subject, data);
      const told = await seqs(rig, [...subjects, NEVER], 80);
      expect(told).toEqual(Object.fromEntries(subjects.map((subject, i) => [subject, i + 1])));
    });
  });
}
