import type { HttpRequest, HttpResponse, TemplatedApp } from "uWebSockets.js";
import { answerError, answerUnrouted, carry, writeCarried } from "./respond.ts";

type Handler = (res: HttpResponse, req: HttpRequest) => void;

/** The part of an app that HTTP routes are made with. */
export interface Routes {
  get(path: string, handler: Handler): void;
  head(path: string, handler: Handler): void;
  post(path: string, handler: Handler): void;
  put(path: string, handler: Handler): void;
  del(path: string, handler: Handler): void;
  any(path: string, handler: Handler): void;
}

const PERMITTED = {
  "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
  "access-control-allow-headers":
    "authorization, x-api-key, content-type, last-event-id, idempotency-key, kata-idempotency-key, kata-publish-id, kata-attempt",
  // How long a browser need not ask again, seconds.
  "access-control-max-age": "600",
};

/**
 * [CORS-1] Routes whose answers, whatever they are, tell a listed origin that its pages may read them. Nobody else is
 * told so, and never everybody (`*`). Without a list nothing is added.
 */
export function withCors(app: TemplatedApp, origins: readonly string[]): Routes {
  const noting = (handler: Handler): Handler => {
    if (origins.length === 0) return handler;
    return (res, req) => {
      note(res, req, origins);
      handler(res, req);
    };
  };
  if (origins.length > 0) app.options("/*", (res, req) => preflight(res, req, origins));
  return {
    get: (path, handler) => void app.get(path, noting(handler)),
    head: (path, handler) => void app.head(path, noting(handler)),
    post: (path, handler) => void app.post(path, noting(handler)),
    put: (path, handler) => void app.put(path, noting(handler)),
    del: (path, handler) => void app.del(path, noting(handler)),
    any: (path, handler) => void app.any(path, noting(handler)),
  };
}

function note(res: HttpResponse, req: HttpRequest, origins: readonly string[]): void {
  const origin = req.getHeader("origin");
  // The answer depends on who asks, also where nobody in particular did: a cache must not mix them up.
  if (!origins.includes(origin)) return carry(res, { vary: "origin" });
  carry(res, {
    vary: "origin",
    "access-control-allow-origin": origin,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "retry-after",
  });
}

/** [CORS-2] What a browser asks before it sends a request that no form could send. */
function preflight(res: HttpResponse, req: HttpRequest, origins: readonly string[]): void {
  note(res, req, origins);
  const origin = req.getHeader("origin");
  if (origin === "" || req.getHeader("access-control-request-method") === "") {
    return answerUnrouted(res, req, "method_not_allowed", "OPTIONS is for browsers that ask ahead of a request");
  }
  if (!origins.includes(origin)) return answerError(res, "forbidden", "this origin is not on the list of this broker");
  res.cork(() => {
    res.writeStatus("204 No Content");
    for (const [name, value] of Object.entries(PERMITTED)) res.writeHeader(name, value);
    writeCarried(res);
    res.endWithoutBody();
  });
}
