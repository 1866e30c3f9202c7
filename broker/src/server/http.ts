import type { HttpResponse, TemplatedApp } from "uWebSockets.js";
import { LogUnavailableError } from "../log/event-log.ts";
import { Fresh } from "../log/fresh.ts";
import { adminRoute } from "./admin-route.ts";
import { type ChannelAdmin, listChannels, registerChannel, unregisterChannel } from "./channels-route.ts";
import type { Connection } from "./connection.ts";
import { withCors } from "./cors.ts";
import { historyRoute } from "./history-route.ts";
import { createKey, type KeyAdmin, listKeys, revokeKey, rotateKey } from "./keys-route.ts";
import type { PublishDeps } from "./publish-port.ts";
import { publishRoute } from "./publish-route.ts";
import { type PublisherDeps, publisherRoute } from "./publisher-route.ts";
import { answer, answerError, answerHead, answerUnrouted } from "./respond.ts";
import { createSession, revokeSession, type SessionAdmin } from "./sessions-route.ts";
import { streamRoute } from "./stream-route.ts";

export interface HttpDeps extends PublishDeps, PublisherDeps {
  /** Absent where an application keeps its API keys itself. */
  readonly keys?: KeyAdmin | undefined;
  /** Absent where an application keeps its sessions itself. */
  readonly sessions?: SessionAdmin | undefined;
  /** Absent where an application knows by itself whose a channel is. */
  readonly channels?: ChannelAdmin | undefined;
}

/** Serves the HTTP API [HTTP-1] to [HTTP-5] and event streams [STREAM-1], whose connections join the others. */
export function serveHttp(server: TemplatedApp, deps: HttpDeps, connections: Set<Connection>): void {
  const app = withCors(server, deps.config.allowedOrigins);
  app.get("/healthz", (res) => answer(res, 200, { status: "ok" }));
  app.head("/healthz", (res) => answerHead(res, 200));
  const state = new Fresh(() => deps.log.state());
  app.get("/readyz", (res) => void ready(res, state));
  app.post("/v1/channels/:channel/events", (res, req) => publishRoute(res, req, deps, connections));
  app.get("/v1/channels/:channel/events", (res, req) => historyRoute(res, req, deps));
  app.get("/v1/channels/:channel/stream", (res, req) => streamRoute(res, req, deps, connections));
  app.get("/v1/publisher", (res, req) => publisherRoute(res, req, deps));
  const { keys, channels, sessions } = deps;
  if (keys !== undefined) {
    app.post("/v1/keys", (res, req) => adminRoute(res, req, deps, (request) => createKey(keys, request)));
    app.get("/v1/keys", (res, req) => adminRoute(res, req, deps, (request) => listKeys(keys, request)));
    app.post("/v1/keys/:key/rotate", (res, req) => adminRoute(res, req, deps, (request) => rotateKey(keys, request)));
    app.del("/v1/keys/:key", (res, req) => adminRoute(res, req, deps, (request) => revokeKey(keys, request)));
  }
  if (sessions !== undefined) {
    app.post("/v1/sessions", (res, req) => adminRoute(res, req, deps, (request) => createSession(sessions, request)));
    app.del("/v1/sessions/:session", (res, req) =>
      adminRoute(res, req, deps, (request) => revokeSession(sessions, request)),
    );
  }
  if (channels !== undefined) {
    app.get("/v1/channels", (res, req) => adminRoute(res, req, deps, (request) => listChannels(channels, request)));
    app.put("/v1/channels/:channel", (res, req) =>
      adminRoute(res, req, deps, (request) => registerChannel(channels, request)),
    );
    app.del("/v1/channels/:channel", (res, req) =>
      adminRoute(res, req, deps, (request) => unregisterChannel(channels, request)),
    );
  }
  for (const [path, allow] of [
    ["/healthz", "GET, HEAD"],
    ["/readyz", "GET"],
    ["/v1/channels/:channel/events", "GET, POST"],
    ["/v1/channels/:channel/stream", "GET"],
    ["/v1/publisher", "GET"],
    ...(keys === undefined
      ? []
      : ([
          ["/v1/keys", "GET, POST"],
          ["/v1/keys/:key", "DELETE"],
          ["/v1/keys/:key/rotate", "POST"],
        ] as const)),
    ...(sessions === undefined
      ? []
      : ([
          ["/v1/sessions", "POST"],
          ["/v1/sessions/:session", "DELETE"],
        ] as const)),
    ...(channels === undefined
      ? []
      : ([
          ["/v1/channels", "GET"],
          ["/v1/channels/:channel", "PUT, DELETE"],
        ] as const)),
  ] as const) {
    app.any(path, (res, req) => answerUnrouted(res, req, "method_not_allowed", `use ${allow}`, { allow }));
  }
  app.any("/ws", (res, req) =>
    answerUnrouted(res, req, "bad_request", "this is a WebSocket endpoint: connect with a WebSocket client"),
  );
  app.any("/*", (res, req) => answerUnrouted(res, req, "not_found", "no such path: see PROTOCOL.md"));
}

/** [HTTP-4] The log is asked, not believed to be there; once for all who want to know at the same time. */
async function ready(res: HttpResponse, state: Fresh<unknown>): Promise<void> {
  let aborted = false;
  res.onAborted(() => {
    aborted = true;
  });
  try {
    await state.ask();
    if (!aborted) answer(res, 200, { status: "ready" });
  } catch (error) {
    const why = error instanceof LogUnavailableError ? error.message : "the log cannot be read";
    if (!aborted) answerError(res, "unavailable", why);
  }
}
