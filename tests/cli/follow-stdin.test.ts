import { describe, expect, it } from "vitest";
import { startNats } from "../support/nats.ts";
import { ensureTestStream } from "../support/stream.ts";
import { CHANNEL, eventsInLog, eventually, kata, kataInShell, messagesOf, publishing } from "./rig.ts";

const FOLLOW = ["publish", CHANNEL, "--follow", "-"];

describe("kata publish --follow -", () => {
  it("publishes lines exactly: CRLF, empty ones, spaces, control characters, the last without a line feed", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    publish.child.stdin.end('unix\nwindows\r\n\n\r\n  spaces  \n{"json":1}\n\tab\x1b[1m\0\r\r\nlast');
    expect(await publish.ended).toMatchObject({ code: 0, stdout: "", stderr: "kata: 8 lines published\n" });
    expect(await messagesOf(nats)).toEqual([
      "unix",
      "windows",
      "",
      "",
      "  spaces  ",
      '{"json":1}',
      "\tab\x1b[1m\0\r",
      "last",
    ]);
  });

  it("keeps characters whole that arrive in pieces", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    const text = "größer 🐟\r\n日本語\n";
    publish.child.stdin.setDefaultEncoding("latin1");
    for (const byte of Buffer.from(text)) {
      await new Promise((written) => publish.child.stdin.write(Buffer.of(byte), written));
    }
    publish.child.stdin.end();
    expect(await publish.ended).toMatchObject({ code: 0 });
    expect(await messagesOf(nats)).toEqual(["größer 🐟", "日本語"]);
  });

  it("20,000 lines from a pipe arrive in order", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kataInShell('seq 1 20000 | "$@"', FOLLOW, publishing(nats));
    expect(await publish.ended).toMatchObject({ code: 0, stderr: "kata: 20000 lines published\n" });
    expect(await messagesOf(nats)).toEqual(Array.from({ length: 20_000 }, (_, i) => String(i + 1)));
  });

  it("of another type than log_entry, a line is a payload and a blank one nothing; a bad one is told, the others go on", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata([...FOLLOW, "--type", "task_completed"], publishing(nats));
    publish.child.stdin.end('{"taskId":"1"}\n\n{"taskId":\n{"task":"3"}\n \r\n{"taskId":"6"}\n');
    const { code, stderr } = await publish.ended;
    expect(code).toBe(1);
    expect(stderr.split("\n")).toEqual([
      'kata: line 3 was not published: not JSON: {"taskId":',
      expect.stringMatching(/^kata: line 4 was not published: payload of task_completed: taskId: /),
      "kata: 2 lines published, 2 not",
      "",
    ]);
    expect((await eventsInLog(nats)).map(({ payload }) => payload)).toEqual([{ taskId: "1" }, { taskId: "6" }]);
  });

  it("nothing at all is no lines and no error", async () => {
    await using nats = await startNats();
    await using publish = kata(FOLLOW, publishing(nats));
    publish.child.stdin.end();
    expect(await publish.ended).toMatchObject({ code: 0, stdout: "", stderr: "kata: 0 lines published\n" });
  });

  it("a line arrives when it is written, not when stdin ends", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    publish.child.stdin.write("now\nnot yet");
    await eventually(() => messagesOf(nats)).toEqual(["now"]);
    publish.child.stdin.end();
    await publish.ended;
    expect(await messagesOf(nats)).toEqual(["now", "not yet"]);
  });
});
