import { expect, test, vi } from "vitest";

test("the first event of a process has to have a type, as every other has", async () => {
  vi.resetModules();
  const { encodeLine } = await import("./event.ts");
  for (const type of [undefined, null, "", 5]) {
    expect(() => encodeLine({ type, payload: 1 } as never)).toThrow("type must match");
  }
  expect(encodeLine({ type: "a", payload: 1 }, 0)).toContain('"type":"a"');
});
