import uWS, { type TemplatedApp, type us_listen_socket } from "uWebSockets.js";

/** The declared types leave out that a host and listen options go together. */
interface ListensExclusively {
  listen(host: string, port: number, options: number, callback: (socket: us_listen_socket | false) => void): void;
}

/** Without it the system lets several processes listen on one port and shares out their clients. */
const EXCLUSIVE = 1;

export interface Listening {
  readonly port: number;
  /** Takes no further connection; those that are open stay. */
  stop(): void;
}

/**
 * @param settings what to set if the address cannot be had
 * @throws Error with `code: "EADDRINUSE"` if the port cannot be had
 */
export function listen(
  app: TemplatedApp,
  host: string,
  port: number,
  settings: { readonly host: string; readonly port: string },
): Promise<Listening> {
  return new Promise((resolve, reject) => {
    (app as unknown as ListensExclusively).listen(host, port, EXCLUSIVE, (socket) => {
      if (socket === false) {
        const message = `cannot listen on ${host}:${port}: the port is taken, or the address is not this machine's; set ${settings.port} or ${settings.host}`;
        reject(Object.assign(new Error(message), { code: "EADDRINUSE" }));
        return;
      }
      resolve({ port: uWS.us_socket_local_port(socket), stop: () => uWS.us_listen_socket_close(socket) });
    });
  });
}
