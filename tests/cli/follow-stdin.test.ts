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
      "windows\r",
      "",
      "\r",
      "  spaces  ",
      '{"json":1}',
      "\tab\x1b[1m\0\r\r",
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
    expect(await messagesOf(nats)).toEqual(["größer 🐟\r", "日本語"]);
  });

  it("keeps what is no UTF-8, in base64 beside what of it can be read", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    await using publish = kata(FOLLOW, publishing(nats));
    const ugly = [
      Buffer.from("caf\xe9", "latin1"),
      Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x0d]),
      // A surrogate, which UTF-8 does not know, and a character that is cut in half.
      Buffer.from([0x61, 0xed, 0xa0, 0x80, 0xf0, 0x9f, 0x90]),
    ];
    const lines = [Buffer.from("before"), ...ugly, Buffer.from("\u2028\ufeffafter\ufffd")];
    publish.child.stdin.end(Buffer.concat(lines.flatMap((line) => [line, Buffer.from("\n")])));
    expect(await publish.ended).toMatchObject({ code: 0, stderr: "kata: 5 lines published\n" });
    const payloads = (await eventsInLog(nats)).map(({ payload }) => payload as { message: string; bytes?: string });
    expect(payloads.map(({ message }) => message)).toEqual(lines.map((line) => line.toString("utf8")));
    expect(payloads.map(({ bytes }) => bytes)).toEqual([
      undefined,
      ...ugly.map((line) => line.toString("base64")),
      undefined,
    ]);
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
    publish.child.stdin.write('{"taskId":"1"}\n\n{"taskId":\n{"task":"3"}\n \r\n{"taskId":"6"}\r\n');
    publish.child.stdin.end(Buffer.from('{"taskId":"\xff"}\n', "latin1"));
    const { code, stderr } = await publish.ended;
    expect(code).toBe(1);
    expect(stderr.split("\n")).toEqual([
      'kata: line 3 was not published: not JSON: {"taskId":',
      expect.stringMatching(/^kata: line 4 was not published: payload of task_completed: taskId: /),
      "kata: line 7 was not published: not JSON: it is no UTF-8",
      "kata: 2 lines published, 3 not",
      "",
    ]);
    expect((await eventsInLog(nats)).map(({ payload }) => payload)).toEqual([{ taskId: "1" }, { taskId: "6" }]);
  });

  it("of another type, a byte order mark before everything is nothing; of log_entry it is kept, as everything is", async () => {
    await using nats = await startNats();
    await ensureTestStream(nats.url);
    const bytes = '\ufeff{"taskId":"1"}\n\ufeff{"taskId":"2"}\n';
    await using typed = kata([...FOLLOW, "--type", "task_completed"], publishing(nats));
    typed.child.stdin.end(bytes);
    expect(await typed.ended).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^kata: line 2 was not published/),
    });
    await using lines = kata(FOLLOW, publishing(nats));
    lines.child.stdin.end(bytes);
    expect(await lines.ended).toMatchObject({ code: 0 });
    expect((await eventsInLog(nats)).map(({ payload }) => payload)).toEqual([
      { taskId: "1" },
      { message: '\ufeff{"taskId":"1"}' },
      { message: '\ufeff{"taskId":"2"}' },
    ]);
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
