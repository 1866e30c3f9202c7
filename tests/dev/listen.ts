import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

export interface Listener extends AsyncDisposable {
  readonly port: number;
}

/** Takes a port of 127.0.0.1. */
export async function listen(): Promise<Listener> {
  const server = createServer((socket) => socket.destroy());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}
