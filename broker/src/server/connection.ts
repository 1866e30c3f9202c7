import type { Revocation } from "../auth/revocation.ts";

/** An open connection of whatever kind, as those see it who beat, dismiss and count them all. */
export interface Connection {
  readonly transport: "websocket" | "event_stream" | "publish_stream";
  /** Bytes that its socket has not taken yet. */
  buffered(): number;
  /** Bytes that came over it and are not settled. */
  held?(): number;
  /** Called often, with a monotonic time in milliseconds: shows that it lives, and ends it if it is dead, stuck, or its time is up. */
  beat(now: number): void;
  /** Ends it if it was with these credentials that it came [AUTH-3]. */
  revoked(revocation: Revocation): void;
  /** A channel has another owner than it had: looks again whether it may be read here. */
  ownerChanged(channel: string): void;
  /** [CLOSE-3] Says when to come back, then closes. */
  dismiss(afterMs: number): void;
}
