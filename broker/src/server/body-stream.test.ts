import type { HttpResponse } from "uWebSockets.js";
import { describe, expect, it, vi } from "vitest";
import { BodyStream } from "./body-stream.ts";

/** A response that is told what comes, and says whether its socket is read; as the real one, it must not be used when it is over. */
function createResponse() {
  let onData = (_chunk: ArrayBuffer, _isLast: boolean): void => undefined;
  let onAborted = (): void => undefined;
  let over = false;
  let paused = false;
  const use = (act: () => void) => () => {
    if (over) throw new Error("the response is over");
    act();
  };
  const pause = vi.fn(use(() => (paused = true)));
  const resume = use(() => (paused = false));
  const res = {
    onAborted: (listener: () => void) => (onAborted = listener),
    onData: (listener: typeof onData) => (onData = listener),
    pause,
    resume,
  } as unknown as HttpResponse;
  return {
    res,
    pause,
    get paused() {
      return paused;
    },
    comes(text: string, isLast = false) {
      const bytes = Buffer.from(text);
      onData(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer, isLast);
    },
    abort() {
      over = true;
      onAborted();
    },
    answer: use(() => (over = true)),
  };
}

describe("the body of a stream", () => {
  it("is not read while nobody asks for more, and is given in one piece", async () => {
    const response = createResponse();
    const body = new BodyStream(response.res, undefined);
    response.comes("a");
    response.comes("b");
    expect([response.paused, body.held]).toEqual([true, 2]);
    await body.more();
    expect([response.paused, String(body.take()), body.take()]).toEqual([true, "ab", undefined]);
    const more = body.more();
    expect(response.paused).toBe(false);
    response.comes("c", true);
    await more;
    expect([response.paused, body.whole, String(body.take())]).toEqual([false, true, "c"]);
    await body.more();
  });

  it("is whole at once where it is empty, and over where its client is gone", async () => {
    const empty = new BodyStream(createResponse().res, 0);
    await empty.more();
    expect([empty.whole, empty.take()]).toEqual([true, undefined]);
    const response = createResponse();
    const body = new BodyStream(response.res, 10);
    const gone = vi.fn();
    body.onAborted(gone);
    const more = body.more();
    response.abort();
    await more;
    expect([body.aborted, body.whole, gone.mock.calls.length]).toEqual([true, false, 1]);
    body.nudge(Number.POSITIVE_INFINITY);
    body.stayPaused();
    await body.drop();
  });

  it("is silent while it is waited for: not while it is not read, nor when it is whole", () => {
    const response = createResponse();
    const body = new BodyStream(response.res, undefined);
    const later = performance.now() + 10_000;
    expect(body.silentMs(later)).toBeGreaterThan(9_000);
    response.comes("a");
    expect(body.silentMs(later)).toBe(0);
    void body.take();
    void body.more();
    expect(body.silentMs(later)).toBeGreaterThan(9_000);
    response.comes("b", true);
    expect(body.silentMs(later)).toBe(0);
  });

  it("is kept alive while it is not read", () => {
    const response = createResponse();
    const body = new BodyStream(response.res, undefined);
    body.nudge(performance.now());
    expect(response.pause).not.toHaveBeenCalled();
    body.nudge(performance.now() + 5_000);
    expect([response.pause.mock.calls.length, response.paused]).toEqual([1, false]);
    response.comes("a");
    body.nudge(performance.now() + 10_000);
    expect([response.pause.mock.calls.length, response.paused]).toEqual([3, true]);
  });

  it.each(["drop", "leave"] as const)(
    "may go on coming when it is answered (%s): nothing of it is kept",
    async (how) => {
      const response = createResponse();
      const body = new BodyStream(response.res, undefined);
      response.comes("a");
      const dropped = Promise.resolve(body[how]());
      expect([response.paused, body.held]).toEqual([false, 0]);
      if (how === "drop") response.comes("b", true);
      await dropped;
      response.answer();
      response.comes("c");
      response.comes("d", true);
      body.nudge(Number.POSITIVE_INFINITY);
      body.stayPaused();
      expect(body.held).toBe(0);
    },
  );
});
