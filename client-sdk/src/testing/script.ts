import { type InboundCommand, SUBPROTOCOL_NDJSON } from "@kata/protocol/wire";
import type { OpenSocket, SocketListener } from "../socket.ts";

/** One socket that a test plays the broker on. */
export interface ScriptedSocket {
  readonly url: string;
  readonly protocols: readonly string[];
  /** Commands in the order in which they were sent. */
  readonly sent: InboundCommand[];
  /** How this side let go of it. */
  readonly gone: "close" | "drop" | undefined;
  open(protocol?: string): void;
  /** One frame, a line a message. */
  say(...messages: object[]): void;
  /** One frame of anything. */
  frame(data: unknown): void;
  /** The broker or the network ends it. */
  end(code: number, reason?: string): void;
  /** The last command of this type, for its channel. */
  last(type: InboundCommand["type"], channel?: string): InboundCommand & { id: number };
  /** How many commands of this type were sent. */
  count(type: InboundCommand["type"]): number;
}

export interface Script {
  readonly openSocket: OpenSocket;
  readonly sockets: ScriptedSocket[];
  /** The newest socket. */
  readonly socket: ScriptedSocket;
}

/** A socket port in memory; it never calls from inside its own methods, as real ones do not. */
export function createScript(): Script {
  const sockets: ScriptedSocket[] = [];
  return {
    sockets,
    get socket() {
      const newest = sockets.at(-1);
      if (newest === undefined) throw new Error("no socket was opened");
      return newest;
    },
    openSocket(url, protocols, listener) {
      let told: SocketListener | undefined = listener;
      let gone: ScriptedSocket["gone"];
      const letGo = (how: "close" | "drop") => {
        gone ??= how;
        told = undefined;
      };
      const sent: InboundCommand[] = [];
      const socket: ScriptedSocket = {
        url,
        protocols,
        sent,
        get gone() {
          return gone;
        },
        open: (protocol = SUBPROTOCOL_NDJSON) => told?.opened(protocol),
        say: (...messages) => told?.frame(messages.map((message) => JSON.stringify(message)).join("\n")),
        frame: (data) => told?.frame(data),
        end(code, reason = "") {
          const last = told;
          told = undefined;
          last?.closed(code, reason);
        },
        last(type, channel) {
          const command = sent.findLast(
            (one) => one.type === type && (channel === undefined || ("channel" in one && one.channel === channel)),
          );
          if (typeof command?.id !== "number") throw new Error(`no ${type} was sent`);
          return { ...command, id: command.id };
        },
        count: (type) => sent.filter((one) => one.type === type).length,
      };
      sockets.push(socket);
      return {
        send: (text) => sent.push(JSON.parse(text) as InboundCommand),
        close: () => letGo("close"),
        drop: () => letGo("drop"),
      };
    },
  };
}
