import uWS from "uWebSockets.js";
import { listen } from "./listen.ts";
import { answerError, answerUnrouted } from "./respond.ts";

export interface MetricsListener {
  readonly port: number;
  close(): void;
}

/**
 * Serves `GET /metrics` where nothing else is served: what it tells is about all teams, and for the operator alone.
 *
 * @throws Error with `code: "EADDRINUSE"` if the port cannot be had
 */
export async function serveMetrics(host: string, port: number, text: () => Promise<string>): Promise<MetricsListener> {
  const app = uWS.App();
  app.get("/metrics", (res) => {
    let aborted = false;
    res.onAborted(() => {
      aborted = true;
    });
    text().then(
      (body) => {
        if (aborted) return;
        res.cork(() => {
          res.writeHeader("content-type", "text/plain; version=0.0.4; charset=utf-8");
          res.end(body);
        });
      },
      () => {
        if (!aborted) answerError(res, "internal", "the metrics could not be collected");
      },
    );
  });
  app.any("/*", (res, req) => answerUnrouted(res, req, "not_found", "no such path: GET /metrics"));
  const listening = await listen(app, host, port, { host: "KATA_METRICS_HOST", port: "KATA_METRICS_PORT" });
  return { port: listening.port, close: () => void app.close() };
}
