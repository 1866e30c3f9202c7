import { createPublisher, logEntry, streamEnded, taskCompleted } from "@kata/publisher";
import { expect, expectTypeOf, test } from "vitest";
import { clientOf, freshChannel, startAll } from "./setup.ts";

interface Events {
  "deploy.done": { readonly version: string };
  "deploy.started": null;
}

test("what a publisher's events are not, does not compile", async () => {
  await using all = await startAll();
  await using publisher = await createPublisher<Events>({ servers: all.nats.url, teamId: all.broker.teamId });
  const channel = freshChannel();
  const wrong: (() => Promise<unknown>)[] = [
    // @ts-expect-error: the version is a string
    () => publisher.publish(channel, { type: "deploy.done", payload: { version: 1 } }),
    // @ts-expect-error: a misspelt type
    () => publisher.publish(channel, { type: "deploy.don", payload: { version: "1.2" } }),
    // @ts-expect-error: a type of the protocol has its payload
    () => publisher.publishMany(channel, [logEntry({ message: "m" }), { type: "task_completed", payload: {} }]),
  ];
  // It is the compiler's word alone: the log takes them.
  expect((await Promise.all(wrong.map((publish) => publish()))).flat()).toHaveLength(4);
});

test("[EVENT-1] [EVENT-2] a handler's event is known by its type, the application's own included", async () => {
  await using all = await startAll();
  const channel = freshChannel();
  await using publisher = await createPublisher<Events>({ servers: all.nats.url, teamId: all.broker.teamId });
  await publisher.publishMany(channel, [
    { type: "deploy.started", payload: null },
    { type: "deploy.done", payload: { version: "1.2" } },
    taskCompleted({ taskId: "t1" }),
  ]);
  await all.publisher.publish(channel, { type: "deploy.undone", payload: "not in the map" });
  await publisher.publish(channel, streamEnded({ reason: "completed" }));
  const seen: string[] = [];
  const client = clientOf(all.broker);
  client.subscribe<Events>(
    channel,
    (event) => {
      switch (event.type) {
        case "deploy.started":
          expectTypeOf(event.payload).toEqualTypeOf<null>();
          seen.push("started");
          break;
        case "deploy.done":
          seen.push(event.payload.version);
          // @ts-expect-error: no such field
          expect(event.payload.versoin).toBeUndefined();
          break;
        case "task_completed":
          expectTypeOf(event.payload.taskId).toEqualTypeOf<string>();
          seen.push(event.payload.taskId);
          break;
        case "stream_ended":
          seen.push(event.payload.reason);
          break;
        // @ts-expect-error: no such type
        case "deploy.don":
          break;
        default:
          seen.push(`another: ${event.type}`);
      }
    },
    { rewind: "all" },
  );
  // With nothing said of the events, any may come, with any payload.
  client.subscribe(channel, ({ payload }) => {
    expectTypeOf(payload).toBeUnknown();
  });
  await client.connect();
  await expect.poll(() => seen).toEqual(["started", "1.2", "t1", "another: deploy.undone", "completed"]);
});
