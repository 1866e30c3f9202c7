import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type TeamEntry, TeamQuota } from "./team-quota.ts";

const team = fc.constantFrom("t1", "t2");
const place = fc.constantFrom("a", "b", "c", "d", "e");
const entry = fc.option(fc.record({ teamId: team, place }), { nil: undefined });

describe("what a team has", () => {
  it("is, after any changes and in pages of any size, what is left of it, in order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ id: fc.nat(4), now: entry, look: fc.boolean() }), { maxLength: 40 }),
        fc.integer({ min: 1, max: 6 }),
        (changes, limit) => {
          const quota = new TeamQuota("things", 3);
          const truth = new Map<number, TeamEntry>();
          for (const { id, now, look } of changes) {
            const before = truth.get(id);
            // Two never stand at the same place.
            const taken = [...truth].some(([other, each]) => other !== id && each.place === now?.place);
            if (taken) continue;
            quota.changed(now, before);
            if (now === undefined) truth.delete(id);
            else truth.set(id, now);
            if (look) quota.page("t1", { limit });
          }
          for (const teamId of ["t1", "t2"]) {
            const expected = [...truth.values()].filter((each) => each.teamId === teamId).map((each) => each.place);
            const pages: string[] = [];
            for (let after: string | undefined; ; ) {
              const { places, more } = quota.page(teamId, { after, limit });
              expect(places.length).toBeLessThanOrEqual(limit);
              pages.push(...places);
              if (!more) break;
              expect(places).toHaveLength(limit);
              after = places.at(-1);
            }
            expect(pages).toEqual(expected.sort());
            if (expected.length >= 3) expect(() => quota.check(teamId)).toThrow("at most 3 things");
            else quota.check(teamId);
          }
        },
      ),
    );
  });
});
