/** The four things this SDK does with a socket. */
export interface Socket {
  send(text: string): void;
  /** Says goodbye (1000) and is done: the listener is not called again. */
  close(): void;
  /** Lets go at once, without waiting for the other side: the listener is not called again. */
  drop(): void;
}

/** What a socket tells. It never calls from inside `openSocket`, `send`, `close` or `drop`. */
export interface SocketListener {
  /** @param protocol the subprotocol that the broker chose, empty if none */
  opened(protocol: string): void;
  /** One text frame; anything but a string is a binary frame. */
  frame(data: unknown): void;
  /** The socket is gone; nothing follows. 1006 if it was never opened or broke. */
  closed(code: number, reason: string): void;
}

/** Starts to open a socket. @throws whatever the host throws for an address it will not open */
export type OpenSocket = (url: string, protocols: readonly string[], listener: SocketListener) => Socket;

/**
 * What is used of a WebSocket: browsers, React Native, Node 22 and the packages `ws` and `undici` all have it. The
 * `on…` properties are `unknown` because their event types differ between hosts; only `data`, `code` and `reason` are read.
 */
export interface WebSocketLike {
  readonly protocol: string;
  onopen: unknown;
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  /** Only `ws` has it: `close()` alone would wait 30 s for a peer that is gone. */
  terminate?(): void;
}

export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** The host's own WebSocket; Node has one from version 22 on. */
export function hostWebSocket(): WebSocketConstructor | undefined {
  return (globalThis as unknown as { WebSocket?: WebSocketConstructor }).WebSocket;
}

/** Turns a WebSocket class into the port above. */
export function openerOf(WebSocket: WebSocketConstructor): OpenSocket {
  return (url, protocols, listener) => {
    const socket = new WebSocket(url, [...protocols]);
    let told: SocketListener | undefined = listener;
    socket.onopen = () => told?.opened(socket.protocol);
    socket.onmessage = (event: { readonly data: unknown }) => told?.frame(event.data);
    socket.onclose = (event: { readonly code?: number; readonly reason?: string }) => {
      const last = told;
      told = undefined;
      last?.closed(event.code ?? 1006, event.reason ?? "");
    };
    // `close` follows every error and says what can be known; without a listener `ws` would throw.
    socket.onerror = () => {};
    return {
      send: (text) => socket.send(text),
      close: () => {
        told = undefined;
        socket.close(1000);
      },
      drop: () => {
        told = undefined;
        if (socket.terminate === undefined) socket.close();
        else socket.terminate();
      },
    };
  };
}
