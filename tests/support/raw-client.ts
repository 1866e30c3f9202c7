import { type OutboundMessage, OutboundMessageSchema } from "@kata/protocol";
import { WebSocket } from "ws";

/** What a client without an SDK sees: frames in, frames out. */
export interface RawClient extends AsyncDisposable {
  readonly socket: WebSocket;
  /** Every message so far, in order. */
  readonly messages: OutboundMessage[];
  /** Every frame so far, as text. */
  readonly frames: string[];
  /** Resolves with the code and reason of the close. */
  readonly closed: Promise<{ code: number; reason: string }>;
  send(command: unknown): void;
  sendText(text: string): void;
  /** The next message that was not taken yet and satisfies `wanted`; those before it are skipped. */
  next(wanted: (message: OutboundMessage) => boolean): Promise<OutboundMessage>;
  /** The next message of a type. */
  nextOf<T extends OutboundMessage["type"]>(type: T): Promise<Extract<OutboundMessage, { type: T }>>;
  /** Waits until `count` events of a channel came in all, and returns them. */
  events(channel: string, count: number): Promise<OutboundMessage[]>;
}

const CONTROL = new Set(["subscribed", "caught_up", "unsubscribed", "error", "pong", "authenticated", "reconnect"]);

export interface RawClientOptions {
  readonly wsUrl: string;
  readonly apiKey?: string;
  readonly protocols?: string[];
  readonly headers?: Record<string, string>;
  /** Whether messages are checked against OutboundMessageSchema; default true. */
  readonly strict?: boolean;
}

/** Connects; rejects with the HTTP status if the upgrade is refused. */
export function connectRaw(options: RawClientOptions): Promise<RawClient> {
  const headers = { ...(options.apiKey === undefined ? {} : { "x-api-key": options.apiKey }), ...options.headers };
  const socket = new WebSocket(options.wsUrl, options.protocols ?? [], { headers });
  const messages: OutboundMessage[] = [];
  const frames: string[] = [];
  let taken = 0;
  let failure: Error | undefined;
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const each of [...waiting]) each();
  };
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on("close", (code, reason) => {
      failure ??= new Error(`closed with ${code} ${reason.toString()}`);
      resolve({ code, reason: reason.toString() });
      wake();
    });
  });
  socket.on("message", (data) => {
    const frame = (data as Buffer).toString("utf8");
    frames.push(frame);
    for (const line of frame.split("\n")) {
      try {
        const json: unknown = JSON.parse(line);
        messages.push(options.strict === false ? (json as OutboundMessage) : OutboundMessageSchema.parse(json));
      } catch (error) {
        failure = new Error(`the broker sent what is no message: ${line}`, { cause: error });
      }
    }
    wake();
  });

  function until<T>(find: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = find();
        if (found === undefined && failure === undefined) return;
        waiting.delete(look);
        if (found !== undefined) resolve(found);
        else reject(failure);
      };
      waiting.add(look);
      look();
    });
  }

  const client: RawClient = {
    socket,
    messages,
    frames,
    closed,
    send: (command) => socket.send(JSON.stringify(command)),
    sendText: (text) => socket.send(text),
    next: (wanted) =>
      until(() => {
        while (taken < messages.length) {
          const message = messages[taken++] as OutboundMessage;
          if (wanted(message)) return message;
        }
        return undefined;
      }),
    nextOf: async <T extends OutboundMessage["type"]>(type: T) =>
      (await client.next((message) => message.type === type)) as Extract<OutboundMessage, { type: T }>,
    events: (channel, count) =>
      until(() => {
        const events = eventsOf(messages, channel);
        return events.length >= count ? events : undefined;
      }),
    async [Symbol.asyncDispose]() {
      if (socket.readyState === WebSocket.CLOSED) return;
      socket.terminate();
      await closed;
    },
  };
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve(client));
    socket.once("unexpected-response", (_request, response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => {
        body += chunk.toString("utf8");
      });
      response.on("end", () => reject(new RefusedUpgrade(response.statusCode ?? 0, body)));
    });
    socket.on("error", reject);
  });
}

/** The events of a channel among messages. */
export function eventsOf(messages: readonly OutboundMessage[], channel: string): OutboundMessage[] {
  return messages.filter(
    (message) => !CONTROL.has(message.type) && "channel" in message && message.channel === channel,
  );
}

export class RefusedUpgrade extends Error {
  readonly status: number;
  readonly body: unknown;
  constructor(status: number, body: string) {
    super(`the upgrade was refused with ${status}`);
    this.status = status;
    this.body = JSON.parse(body);
  }
}
