import fc from "fast-check";
import { expect, test } from "vitest";
import { PublisherError } from "./errors.ts";
import { Refusal, type Settle } from "./outcome.ts";
import { Waiters } from "./waiters.ts";

const step = fc.oneof(
  { weight: 3, arbitrary: fc.constant("promise" as const) },
  { weight: 2, arbitrary: fc.constant("function" as const) },
  { weight: 1, arbitrary: fc.record({ removes: fc.nat() }) },
);

test("each is told of its own event, once, however the others wait and whichever were taken out", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.func(fc.boolean()),
      fc.array(fc.nat(), { maxLength: 5 }),
      async (steps, isRefused, forgotten) => {
        const waiters = new Waiters();
        /** By place: who waits, and how. */
        const waiting: { readonly name: string; readonly settle?: Settle }[] = [];
        const told = new Map<string, string[]>();
        const order: string[] = [];
        const tell = (name: string, what: string) => {
          told.get(name)?.push(what);
          order.push(name);
        };
        let names = 0;
        for (const each of steps) {
          if (typeof each === "object") {
            const functions = waiting.filter(({ settle }) => settle !== undefined);
            const gone = functions[each.removes % functions.length];
            if (gone?.settle === undefined) continue;
            const place = waiters.placeOf(gone.settle);
            expect(place).toBe(waiting.indexOf(gone));
            waiters.remove(place);
            waiting.splice(place, 1);
            expect(waiters.placeOf(gone.settle)).toBe(-1);
            continue;
          }
          const name = `${each} ${names++}`;
          told.set(name, []);
          if (each === "promise") {
            waiters.promise(waiting.length).then(
              ({ eventId }) => tell(name, eventId),
              (error: Error) => tell(name, error.message),
            );
            waiting.push({ name });
          } else {
            const settle: Settle = (outcome) =>
              queueMicrotask(() => tell(name, outcome instanceof Refusal ? outcome.error.message : outcome.eventId));
            waiters.add(waiting.length, settle);
            waiting.push({ name, settle });
          }
        }
        const expected = new Map([...told.keys()].map((name): [string, string[]] => [name, []]));
        const outcomeOf = (place: number) => (isRefused(place) ? `refused ${place}` : `e-${place}`);
        for (const [place, { name }] of waiting.entries()) expected.set(name, [outcomeOf(place)]);
        for (const n of forgotten) {
          const place = waiting.length === 0 ? 0 : n % waiting.length;
          const { name, settle } = waiting[place] ?? {};
          if (name === undefined || settle === undefined) continue;
          waiters.forget(place);
          expected.set(name, []);
        }
        waiters.settle((place) =>
          isRefused(place)
            ? new Refusal(new PublisherError("rejected", outcomeOf(place)))
            : { eventId: outcomeOf(place), duplicate: false },
        );
        // Two turns of the microtask queue after the last of them: more than any takes.
        for (let turn = 0; turn < 5; turn++) await Promise.resolve();
        expect(told).toEqual(expected);
        // As an application would see it, which hears of a function's event when a promise that it resolves is settled.
        const inOrder = waiting.map(({ name }) => name).filter((name) => expected.get(name)?.length === 1);
        expect(order).toEqual(inOrder);
      },
    ),
  );
});

test("promises are told in the order of their events", async () => {
  const waiters = new Waiters();
  const order: number[] = [];
  const all = [0, 1, 2, 3].map((place) => waiters.promise(place).then(() => order.push(place)));
  waiters.settle((place) => ({ eventId: `e-${place}`, duplicate: false }));
  await Promise.all(all);
  expect(order).toEqual([0, 1, 2, 3]);
});
