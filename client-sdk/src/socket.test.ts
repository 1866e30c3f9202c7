import { expect, test } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";
import { openerOf, type WebSocketConstructor, type WebSocketLike } from "./socket.ts";

class FakeWebSocket implements WebSocketLike {
  static made: FakeWebSocket[] = [];
  readonly protocol = "kata.v1";
  readonly url: string;
  readonly protocols: string[] | undefined;
  readonly calls: unknown[][] = [];
  onopen: unknown = null;
  onmessage: unknown = null;
  onclose: unknown = null;
  onerror: unknown = null;
  constructor(url: string, protocols?: string[]) {
    this.url = url;
    this.protocols = protocols;
    FakeWebSocket.made.push(this);
  }
  send(data: string): void {
    this.calls.push(["send", data]);
  }
  close(code?: number): void {
    this.calls.push(["close", code]);
  }
  fire(name: "onopen" | "onmessage" | "onclose" | "onerror", value: unknown): void {
    (this[name] as (event: unknown) => void)(value);
  }
}

class TerminatingWebSocket extends FakeWebSocket {
  terminate(): void {
    this.calls.push(["terminate"]);
  }
}

function open(WebSocket: WebSocketConstructor = FakeWebSocket) {
  const told: unknown[][] = [];
  const socket = openerOf(WebSocket)("ws://b/ws", ["kata.v1", "bearer.k"], {
    opened: (protocol) => told.push(["opened", protocol]),
    frame: (data) => told.push(["frame", data]),
    closed: (code, reason) => told.push(["closed", code, reason]),
  });
  const made = FakeWebSocket.made.at(-1);
  if (made === undefined) throw new Error("no WebSocket was made");
  return { socket, told, made };
}

test("events of a WebSocket become calls; an error says nothing, its close does", () => {
  const { told, made, socket } = open();
  expect([made.url, made.protocols]).toEqual(["ws://b/ws", ["kata.v1", "bearer.k"]]);
  made.fire("onopen", {});
  made.fire("onmessage", { data: "x" });
  made.fire("onerror", {});
  made.fire("onclose", { code: 4501, reason: "no" });
  made.fire("onclose", { code: 1006 });
  socket.send("y");
  expect(told).toEqual([
    ["opened", "kata.v1"],
    ["frame", "x"],
    ["closed", 4501, "no"],
  ]);
  expect(made.calls).toEqual([["send", "y"]]);
});

test("a close without a code, as some hosts report a failed upgrade, is 1006", () => {
  const { told, made } = open();
  made.fire("onclose", {});
  expect(told).toEqual([["closed", 1006, ""]]);
});

test.each<["close" | "drop", WebSocketConstructor, unknown[]]>([
  ["close", FakeWebSocket, ["close", 1000]],
  ["drop", FakeWebSocket, ["close", undefined]],
  ["drop", TerminatingWebSocket, ["terminate"]],
])("after %s() the listener hears nothing more", (how, WebSocket, call) => {
  const { told, made, socket } = open(WebSocket);
  socket[how]();
  made.fire("onmessage", { data: "x" });
  made.fire("onclose", { code: 1000, reason: "" });
  expect(told).toEqual([]);
  expect(made.calls).toEqual([call]);
});

test("the WebSocket of ws fits, and one that is given up while it connects throws nothing", async () => {
  const opener = openerOf(NodeWebSocket);
  const quiet = { opened: () => {}, frame: () => {}, closed: () => {} };
  opener("ws://127.0.0.1:9/ws", ["kata.v1"], quiet).drop();
  opener("ws://127.0.0.1:9/ws", ["kata.v1"], quiet).close();
  const refused = await new Promise<number>((resolve) => {
    opener("ws://127.0.0.1:9/ws", ["kata.v1"], { ...quiet, closed: resolve });
  });
  expect(refused).toBe(1006);
});
