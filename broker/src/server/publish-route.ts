import type { HttpRequest, HttpResponse } from "uWebSockets.js";
import type { Connection } from "./connection.ts";
import { publishBody } from "./publish-body.ts";
import { publishNdjson } from "./publish-ndjson.ts";
import type { PublishDeps } from "./publish-port.ts";
import { readPublishRequest } from "./publish-request.ts";

/** `POST /v1/channels/{channel}/events` [HTTP-1]: one event, an array of them, or a stream of any length [HTTP-8]. */
export function publishRoute(
  res: HttpResponse,
  req: HttpRequest,
  deps: PublishDeps,
  connections: Set<Connection>,
): void {
  const request = readPublishRequest(res, req, deps);
  if (request.isStream) publishNdjson(res, request, deps, connections);
  else publishBody(res, request, deps);
}
