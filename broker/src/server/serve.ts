import uWS from "uWebSockets.js";
import { type HttpDeps, serveHttp } from "./http.ts";
import { listen } from "./listen.ts";
import type { Session } from "./session.ts";
import { serveWebSocket } from "./websocket.ts";

export interface Server {
  readonly port: number;
  /** Takes no further connection and sends everybody away, each with a slot to come back in [CLOSE-3]. */
  dismiss(): void;
  /** Cuts what is still open. */
  close(): void;
}

export interface ServeOptions extends HttpDeps {
  readonly host: string;
  readonly port: number;
}

/** Between two clients that are sent away lies at least this much, milliseconds, as far as the whole spread allows. */
const SLOT_MS = 5;

/** What delivery fans out through; it exists before the server does. */
export interface FanOut {
  readonly app: ReturnType<typeof uWS.App>;
  publish(topic: string, frame: Buffer): void;
}

export function createFanOut(): FanOut {
  const app = uWS.App();
  return { app, publish: (topic, frame) => void app.publish(topic, frame, false) };
}

/** Starts listening and beating. */
export async function serve({ app }: FanOut, options: ServeOptions): Promise<Server> {
  const sessions = serveWebSocket(app, options);
  serveHttp(app, options);
  const { port, stop } = await listen(app, options.host, options.port);
  const { heartbeatIntervalMs, heartbeatTimeoutMs, stallTimeoutMs, reconnectSpreadMs } = options.config;
  const shortest = Math.min(heartbeatIntervalMs, heartbeatTimeoutMs, stallTimeoutMs);
  const beat = setInterval(() => beatAll(sessions), Math.max(5, Math.min(1_000, shortest / 4)));
  return {
    port,
    dismiss() {
      stop();
      clearInterval(beat);
      const all = [...sessions];
      const slot = Math.min(SLOT_MS, reconnectSpreadMs / Math.max(1, all.length));
      for (const [index, session] of all.entries()) session.dismiss(Math.round(index * slot));
    },
    close() {
      clearInterval(beat);
      app.close();
    },
  };
}

function beatAll(sessions: ReadonlySet<Session>): void {
  const now = performance.now();
  for (const session of [...sessions]) session.beat(now);
}
