import { describe, expect, it } from "vitest";
import { MemoryLog, settle } from "../testing/memory-log.ts";
import { Fresh } from "./fresh.ts";
import { createSharedLog } from "./shared-log.ts";

describe("an answer that many share", () => {
  it("is never older than the question of the one who gets it", async () => {
    const answers: ((value: number) => void)[] = [];
    const fresh = new Fresh(() => new Promise<number>((resolve) => answers.push(resolve)));
    const first = fresh.ask();
    const later = [fresh.ask(), fresh.ask()];
    expect(answers).toHaveLength(1);
    answers[0]?.(1);
    expect(await first).toBe(1);
    await settle(2);
    expect(answers).toHaveLength(2);
    const last = fresh.ask();
    answers[1]?.(2);
    expect(await Promise.all(later)).toEqual([2, 2]);
    await settle(2);
    answers[2]?.(3);
    expect(await last).toBe(3);
    expect(fresh.idle).toBe(true);
  });

  it("that fails is asked for again by those who came meanwhile", async () => {
    let asked = 0;
    const fresh = new Fresh(async () => {
      if (++asked === 1) throw new Error("away");
      return asked;
    });
    const first = fresh.ask();
    const later = fresh.ask();
    await expect(first).rejects.toThrow("away");
    expect(await later).toBe(2);
    expect(await fresh.ask()).toBe(3);
  });
});

describe("a log that many ask", () => {
  it("is asked once for a place and for its state by all who come at the same time", async () => {
    const memory = new MemoryLog();
    memory.store("s", "1");
    const log = createSharedLog(memory, { readsInFlight: 4 });
    const [first, ...others] = await Promise.all(Array.from({ length: 100 }, () => log.at(1)));
    expect(others.every((each) => each?.check === first?.check)).toBe(true);
    await Promise.all(Array.from({ length: 100 }, () => log.state()));
    expect([memory.asked.at, memory.asked.state]).toEqual([2, 2]);
  });

  it("has so many answers with records on their way at a time, and says how many", async () => {
    const memory = new MemoryLog();
    for (let i = 0; i < 10; i++) memory.store("s", `${i}`);
    const log = createSharedLog(memory, { readsInFlight: 3 });
    const letGo = memory.hold("read");
    const reads = Array.from({ length: 8 }, (_, i) =>
      log.read({ subject: "s", from: { seq: i + 1 }, records: 1, bytes: 1 }),
    );
    await settle();
    expect([memory.asked.read, log.reads.inFlight, log.reads.waiting]).toEqual([3, 3, 5]);
    letGo();
    expect((await Promise.all(reads)).map(({ records }) => records[0]?.seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect([log.reads.inFlight, log.reads.waiting]).toEqual([0, 0]);
  });
});
