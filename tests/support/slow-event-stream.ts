import { connect } from "node:net";
import { createParser } from "eventsource-parser";
import { TEST_KEY } from "./broker.ts";

/** An event stream over a bare connection, so that it can stop reading, and read as the standard has it. */
export interface SlowEventStream extends Disposable {
  pause(): void;
  resume(): void;
  /** The types of the messages that are not events, so far. */
  readonly signs: string[];
  /** What `onmessage` would be handed so far; what is no JSON is there as it is. */
  readonly messages: (number | string)[];
  /** Resolves when the other side has ended it. */
  readonly closed: Promise<void>;
}

const CRLF = "\r\n";

export function openSlowEventStream(port: number, channel: string): SlowEventStream {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write(`GET /v1/channels/${channel}/stream HTTP/1.1${CRLF}host: x${CRLF}x-api-key: ${TEST_KEY}${CRLF}${CRLF}`);
  const signs: string[] = [];
  const messages: (number | string)[] = [];
  const parser = createParser({
    onEvent({ event, data }) {
      if (event !== undefined) signs.push(event);
      else messages.push(numberOf(data));
    },
  });
  const feed = createUnchunker((text) => parser.feed(text));
  socket.on("data", feed);
  return {
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    signs,
    messages,
    closed: new Promise((resolve) => socket.once("close", () => resolve())),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

function numberOf(data: string): number | string {
  try {
    return Number(JSON.parse(data).payload.message);
  } catch {
    return `${data.slice(0, 60)}…${data.slice(-60)}`;
  }
}

/** Takes a response's bytes, and gives the text of its body: chunked, and in ASCII. */
function createUnchunker(onText: (text: string) => void): (bytes: Buffer) => void {
  let buffered = Buffer.alloc(0);
  let inHead = true;
  return (bytes) => {
    buffered = Buffer.concat([buffered, bytes]);
    if (inHead) {
      const end = buffered.indexOf(CRLF + CRLF);
      if (end < 0) return;
      buffered = buffered.subarray(end + 4);
      inHead = false;
    }
    for (;;) {
      const end = buffered.indexOf(CRLF);
      if (end < 0) return;
      const size = Number.parseInt(buffered.subarray(0, end).toString("latin1"), 16);
      if (buffered.length < end + 2 + size + 2) return;
      onText(buffered.subarray(end + 2, end + 2 + size).toString("latin1"));
      buffered = buffered.subarray(end + 2 + size + 2);
    }
  };
}
