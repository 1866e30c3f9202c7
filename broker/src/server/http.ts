import type { HttpResponse, TemplatedApp } from "uWebSockets.js";
import { LogUnavailableError } from "../log/event-log.ts";
import { Fresh } from "../log/fresh.ts";
import type { Connection } from "./connection.ts";
import type { FanOut } from "./fan-out.ts";
import { historyRoute } from "./history-route.ts";
import { type PublishDeps, publishRoute } from "./publish-route.ts";
import { answer, answerError, answerHead, answerUnrouted } from "./respond.ts";
import { streamRoute } from "./stream-route.ts";

export type HttpDeps = PublishDeps & { readonly fanOut: FanOut };

/** Serves the HTTP API [HTTP-1] to [HTTP-5] and event streams [STREAM-1], whose connections join the others. */
export function serveHttp(app: TemplatedApp, deps: HttpDeps, connections: Set<Connection>): void {
  app.get("/healthz", (res) => answer(res, 200, { status: "ok" }));
  app.head("/healthz", (res) => answerHead(res, 200));
  const state = new Fresh(() => deps.log.state());
  app.get("/readyz", (res) => void ready(res, state));
  app.post("/v1/channels/:channel/events", (res, req) => publishRoute(res, req, deps));
  app.get("/v1/channels/:channel/events", (res, req) => historyRoute(res, req, deps));
  app.get("/v1/channels/:channel/stream", (res, req) => streamRoute(res, req, deps, connections));
  for (const [path, allow] of [
    ["/healthz", "GET, HEAD"],
    ["/readyz", "GET"],
    ["/v1/channels/:channel/events", "GET, POST"],
    ["/v1/channels/:channel/stream", "GET"],
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
