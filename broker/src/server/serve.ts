import { setImmediate as turn } from "node:timers/promises";
import type { ApiKeyAuth, SessionStore } from "../auth/adapters.ts";
import type { Connection } from "./connection.ts";
import { type HttpDeps, serveHttp } from "./http.ts";
import { listen } from "./listen.ts";
import { serveWebSocket } from "./websocket.ts";

export interface Server {
  readonly port: number;
  /** Those that are open, of all kinds. */
  readonly connections: ReadonlySet<Connection>;
  /** Takes no further connection and sends everybody away, each with a slot to come back in [CLOSE-3]. */
  dismiss(): void;
  /** Cuts what is still open, when what has an answer by now was given it. */
  close(): Promise<void>;
}

export interface ServeOptions extends HttpDeps {
  /** Those who may say that credentials count no more. */
  readonly revoking: readonly (ApiKeyAuth | SessionStore)[];
  readonly host: string;
  readonly port: number;
}

/** Between two clients that are sent away lies at least this much, milliseconds, as far as the whole spread allows. */
const SLOT_MS = 5;

/** Starts listening and beating. */
export async function serve(options: ServeOptions): Promise<Server> {
  const { app } = options.fanOut;
  const connections = new Set<Connection>();
  serveWebSocket(app, options, connections);
  serveHttp(app, options, connections);
  const { port, stop } = await listen(app, options.host, options.port, {
    host: "KATA_HOST",
    port: "KATA_PORT",
  });
  const { heartbeatIntervalMs, heartbeatTimeoutMs, stallTimeoutMs, reconnectSpreadMs } = options.config;
  const shortest = Math.min(heartbeatIntervalMs, heartbeatTimeoutMs, stallTimeoutMs);
  const beat = setInterval(() => beatAll(connections), Math.max(5, Math.min(1_000, shortest / 4)));
  const unlisten = [
    ...options.revoking.map((each) =>
      each.onRevoked?.((revocation) => {
        for (const connection of [...connections]) connection.revoked(revocation);
      }),
    ),
    options.access.onOwnerChanged?.((channel) => {
      // Channels are registered far more often than they are taken from somebody who reads them.
      if (!options.delivery.channels.has(channel)) return;
      for (const connection of [...connections]) connection.ownerChanged(channel);
    }),
  ];
  return {
    port,
    connections,
    dismiss() {
      stop();
      clearInterval(beat);
      const all = [...connections];
      const slot = Math.min(SLOT_MS, reconnectSpreadMs / Math.max(1, all.length));
      for (const [index, connection] of all.entries()) connection.dismiss(Math.round(index * slot));
    },
    async close() {
      clearInterval(beat);
      for (const each of unlisten) each?.();
      await turn();
      app.close();
    },
  };
}

function beatAll(connections: ReadonlySet<Connection>): void {
  const now = performance.now();
  for (const connection of [...connections]) connection.beat(now);
}
