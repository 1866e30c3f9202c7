import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { TEST_KEY, type TestBroker } from "../support/broker.ts";

export const log = (message: string, timestamp?: string) => ({
  type: "log_entry",
  payload: { message },
  ...(timestamp === undefined ? {} : { timestamp }),
});

/** The messages of a channel's log entries, all of them, in order. */
export async function historyOf({ httpUrl }: Pick<TestBroker, "httpUrl">, channel: string): Promise<string[]> {
  const messages: string[] = [];
  for (let after = ""; ; ) {
    const query = after === "" ? "" : `&after=${after}`;
    const response = await fetch(`${httpUrl}/v1/channels/${channel}/events?limit=1000${query}`, {
      headers: { "x-api-key": TEST_KEY },
    });
    const page = (await response.json()) as { events: { payload: { message: string } }[]; next: string; more: boolean };
    for (const { payload } of page.events) messages.push(payload.message);
    if (!page.more) return messages;
    after = page.next;
  }
}

export interface StreamSummary {
  readonly published: number;
  readonly duplicates: number;
  readonly failed: number;
  readonly first?: string;
  readonly last?: string;
  readonly next?: number;
  readonly errors: readonly { index: number; code: string; message: string; retryable: boolean }[];
  readonly error?: { readonly code: string; readonly message: string; readonly retryable: boolean };
}

/** Publishes lines in one go; a body that is a string has its length, any other is chunked. */
export async function postLines(
  { httpUrl }: Pick<TestBroker, "httpUrl">,
  channel: string,
  body: string | AsyncIterable<Uint8Array>,
  headers: Record<string, string> = {},
): Promise<{ readonly status: number; readonly body: StreamSummary }> {
  const response = await fetch(`${httpUrl}/v1/channels/${channel}/events`, {
    method: "POST",
    headers: { "x-api-key": TEST_KEY, "content-type": "application/x-ndjson", ...headers },
    body: typeof body === "string" ? body : ReadableStream.from(body),
    duplex: "half",
  } as RequestInit);
  return { status: response.status, body: (await response.json()) as StreamSummary };
}

export const lineOf = (event: unknown) => `${JSON.stringify(event)}\n`;

/** Numbered lines, in pieces of so many, as they are asked for. */
export async function* numberedLines(count: number, perPiece = 1_000, timestamp?: string): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < count; from += perPiece) {
    let piece = "";
    for (let i = from; i < Math.min(count, from + perPiece); i++) piece += lineOf(log(String(i), timestamp));
    yield Buffer.from(piece);
  }
}

/** A request over a bare connection, whose body is written a chunk at a time. */
export interface OpenStream extends Disposable {
  readonly socket: Socket;
  /** Sends a chunk; resolves when the system has taken it, and at once if the connection is gone. */
  write(text: string): Promise<void>;
  /** Ends the body. */
  end(): void;
  /** What came so far, head and all. */
  readonly received: string;
  readonly closed: Promise<unknown>;
}

export async function openStream(
  { port }: Pick<TestBroker, "port">,
  channel: string,
  headers: Record<string, string> = {},
): Promise<OpenStream> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const all = { host: "x", "x-api-key": TEST_KEY, "content-type": "application/x-ndjson", ...headers };
  const lines = Object.entries({ ...all, "transfer-encoding": "chunked" }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  socket.write(`POST /v1/channels/${channel}/events HTTP/1.1\r\n${lines.join("")}\r\n`);
  let received = "";
  socket.on("data", (data: Buffer) => {
    received += data.toString("latin1");
  });
  socket.on("error", () => undefined);
  return {
    socket,
    write: (text) =>
      new Promise((resolve) => {
        const chunk = Buffer.from(text);
        socket.write(`${chunk.length.toString(16)}\r\n`);
        socket.write(chunk);
        socket.write("\r\n", () => resolve());
      }),
    end: () => void socket.write("0\r\n\r\n"),
    get received() {
      return received;
    },
    closed: once(socket, "close"),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}
