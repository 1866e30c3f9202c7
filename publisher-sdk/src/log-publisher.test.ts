import { describe, expect, expectTypeOf, it } from "vitest";
import { captureConsole, captureStream, createWritable } from "./capture.ts";
import type { EventInput } from "./event.ts";
import { createPinoStream } from "./pino.ts";
import type { LogPublisher, Publisher } from "./publisher.ts";

interface Mine {
  "deploy.done": { readonly version: string };
}

/** One that stores everything, and keeps it. */
function publisherOf<P extends LogPublisher>() {
  const taken: EventInput[] = [];
  const publishEach = async (_: string, events: readonly EventInput[]) => {
    taken.push(...events);
    return events.map((_event, i) => ({ eventId: `e-${i}`, duplicate: false }));
  };
  const publish = async (channel: string, event: EventInput) => (await publishEach(channel, [event]))[0];
  return { taken, publisher: { publish, publishEach, flush: async () => undefined } as unknown as P };
}

describe("a publisher of an application's own events", () => {
  const { taken, publisher } = publisherOf<Publisher<Mine>>();

  it("is one of log entries, as every one is", () => {
    expectTypeOf<Publisher<Mine>>().toExtend<LogPublisher>();
    expectTypeOf<Publisher>().toExtend<LogPublisher>();
    expectTypeOf<Omit<Publisher, "publish">>().not.toExtend<LogPublisher>();
  });

  it("takes what is captured and what pino says", async () => {
    const writable = createWritable(publisher, "agent:a1");
    await new Promise<void>((finished) => writable.end("written\n", finished));
    const stream = createPinoStream(publisher, "agent:a1");
    await new Promise<void>((finished) => stream.end('{"level":30,"msg":"logged"}\n', finished));
    await captureStream(
      publisher,
      "agent:a1",
      (async function* () {
        yield "streamed\n";
      })(),
    );
    await captureConsole(publisher, "agent:a1").restore();
    const messages = taken.map(({ payload }) => (payload as { message: string }).message);
    expect(messages).toEqual(["written", "logged", "streamed"]);
  });
});
