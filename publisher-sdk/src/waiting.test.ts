import { expect, test } from "vitest";
import { PublisherError } from "./errors.ts";
import { type PublishResult, Refusal } from "./outcome.ts";
import { waitForAll } from "./waiting.ts";

const result = (n: number): PublishResult => ({ eventId: `e-${n}-abcd`, duplicate: false });
const refused = (stored: "no" | "unknown") => new Refusal(new PublisherError("aborted", "why", { stored }));

/** What is told of all of them, and not before the last one is settled. */
function told(...outcomes: (PublishResult | Refusal)[]): unknown {
  const calls: unknown[] = [];
  const settle = waitForAll(
    outcomes.length,
    (results) => calls.push(results),
    (error) => calls.push(`${(error as PublisherError).code} ${(error as PublisherError).stored}`),
  );
  for (const outcome of outcomes) {
    expect(calls).toEqual([]);
    settle(outcome);
  }
  expect(calls).toHaveLength(1);
  return calls[0];
}

test("of several events, the first one's error is told when all are settled, and whether the log may have any", () => {
  expect(told(result(1), result(2))).toEqual([result(1), result(2)]);
  expect(told(refused("no"), refused("no"))).toBe("aborted no");
  expect(told(refused("no"), result(2))).toBe("aborted unknown");
  expect(told(result(1), refused("no"))).toBe("aborted unknown");
  expect(told(refused("no"), refused("unknown"))).toBe("aborted unknown");
});

test("an error of several that says more than that of one keeps it", async () => {
  const one = new PublisherError("too_large", "too long");
  const all = new Promise((resolve, reject) => {
    const settle = waitForAll(2, resolve, reject);
    settle(result(1));
    settle(new Refusal(one));
  });
  await expect(all).rejects.toMatchObject({ code: "too_large", message: "too long", stored: "unknown", cause: one });
});
