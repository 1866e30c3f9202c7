import { once } from "node:events";
import { connect } from "node:net";
import { BROKER_LOGIN } from "../support/nats-secrets.ts";

const CONNECT = JSON.stringify({ verbose: false, headers: true, ...BROKER_LOGIN });

/**
 * Publishes with this block of headers, byte for byte: the client library sends none that is malformed. Resolves when the
 * server has taken it.
 */
export async function publishRaw(port: number, subject: string, block: string, payload: string): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const length = Buffer.byteLength(block);
  const sizes = `${length} ${length + Buffer.byteLength(payload)}`;
  socket.write(`CONNECT ${CONNECT}\r\nHPUB ${subject} ${sizes}\r\n${block}${payload}\r\nPING\r\n`);
  let heard = "";
  for await (const chunk of socket) {
    heard += String(chunk);
    if (heard.includes("PONG")) break;
  }
  socket.destroy();
  if (heard.includes("-ERR")) throw new Error(heard);
}
