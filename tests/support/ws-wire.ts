/** What a WebSocket client sends by hand: its upgrade and its frames (RFC 6455). */

/** Any key and its answer (1.3): the same for all. */
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

export interface Upgrade {
  readonly port: number;
  readonly apiKey: string;
  readonly protocol: string;
}

export function upgradeRequest({ port, apiKey, protocol }: Upgrade): string {
  return (
    `GET /ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
    `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Protocol: ${protocol}\r\nX-API-Key: ${apiKey}\r\n\r\n`
  );
}

/** @throws Error if the head of the answer does not say that this is now a WebSocket with the protocol that was asked for */
export function verifyUpgraded(head: string, { protocol }: Upgrade): void {
  const lower = head.toLowerCase();
  if (!lower.startsWith("http/1.1 101 ") || !lower.includes(ACCEPT.toLowerCase())) {
    throw new Error(`the upgrade was answered with ${head}`);
  }
  if (!lower.includes(`sec-websocket-protocol: ${protocol}`)) throw new Error("the upgrade chose another subprotocol");
}

/** The first byte of a frame that is whole. */
export const FRAME = { text: 0x81, close: 0x88, ping: 0x89, pong: 0x8a } as const;

/** A client's frame of less than 64 KiB. A key of zeros masks, too. */
export function clientFrame(first: number, payload: Buffer): Buffer {
  const short = payload.length < 126;
  const frame = Buffer.alloc((short ? 6 : 8) + payload.length);
  frame[0] = first;
  frame[1] = 0x80 | (short ? payload.length : 126);
  if (!short) frame.writeUInt16BE(payload.length, 2);
  payload.copy(frame, short ? 6 : 8);
  return frame;
}
