/** An open connection of whatever kind, as those see it who beat, dismiss and count them all. */
export interface Connection {
  readonly transport: "websocket" | "event_stream";
  /** Bytes that its socket has not taken yet. */
  buffered(): number;
  /** Called often, with a monotonic time in milliseconds: shows that it lives, and ends it if it is dead or stuck. */
  beat(now: number): void;
  /** [CLOSE-3] Says when to come back, then closes. */
  dismiss(afterMs: number): void;
}
