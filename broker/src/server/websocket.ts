import type { HttpRequest, HttpResponse, TemplatedApp, us_socket_context_t, WebSocket } from "uWebSockets.js";
import { type CloseCode, ERRORS, SUBPROTOCOL_NDJSON } from "@kata/protocol/wire";
import type { Principal } from "../auth/principal.ts";
import { encodeControl } from "../delivery/control.ts";
import { type Framing, LINES, SINGLE } from "../delivery/framing.ts";
import type { Connection } from "./connection.ts";
import { parseCredentials, parseSubprotocols } from "./credentials.ts";
import { answerError } from "./respond.ts";
import { Session, type SessionDeps, type SessionSocket } from "./session.ts";
import { EXPLAINED, errorPayload } from "./wire-error.ts";

/** What a socket carries from its upgrade to its end. */
interface Attached {
  readonly admission: { readonly principal: Principal; readonly framing: Framing } | { readonly refused: Refusal };
  /** Whether the socket may still be called. */
  open: boolean;
  session?: Session;
}

type Refusal = "unauthenticated" | "token_expired" | "unavailable";

/** Frames beyond this many times the command limit are not read at all: the WebSocket layer closes the connection. */
const HARD_LIMIT_FACTOR = 16;

// uWebSockets.js lifetime rules, all kept here: a request dies with its callback, so everything is read from it first;
// a response needs onAborted before any await; a message's buffer dies with its callback (Session parses it at once);
// after close, nothing may be called on the socket.

/** Serves `/ws`; its sessions join the other connections while they are open. */
export function serveWebSocket(app: TemplatedApp, deps: SessionDeps, connections: Set<Connection>): void {
  app.ws<Attached>("/ws", {
    maxPayloadLength: deps.config.maxCommandBytes * HARD_LIMIT_FACTOR,
    // Nothing is ever dropped; delivery looks at what is buffered and slows down [ORDER-1].
    maxBackpressure: 0,
    closeOnBackpressureLimit: 0,
    // The session keeps its own heartbeat, with a close code and a reason [HEARTBEAT-2].
    idleTimeout: 0,
    sendPingsAutomatically: false,
    upgrade: (res, req, context) => {
      upgrade(res, req, context, deps).catch((error: unknown) =>
        deps.logger.error({ err: error }, "an upgrade failed"),
      );
    },
    open: (ws) => {
      const attached = ws.getUserData();
      if ("refused" in attached.admission) return refuse(ws, attached.admission.refused);
      const { principal, framing } = attached.admission;
      attached.session = new Session(createSocket(ws, attached), principal, framing, deps);
      connections.add(attached.session);
    },
    message: (ws, data, isBinary) => ws.getUserData().session?.receive(data, isBinary),
    ping: (ws) => ws.getUserData().session?.heard(),
    pong: (ws) => ws.getUserData().session?.heard(),
    drain: (ws) => ws.getUserData().session?.drained(),
    close: (ws) => {
      const attached = ws.getUserData();
      attached.open = false;
      if (attached.session === undefined) return;
      connections.delete(attached.session);
      attached.session.closed();
    },
  });
}

async function upgrade(
  res: HttpResponse,
  req: HttpRequest,
  context: us_socket_context_t,
  deps: SessionDeps,
): Promise<void> {
  const key = req.getHeader("sec-websocket-key");
  const protocols = req.getHeader("sec-websocket-protocol");
  const extensions = req.getHeader("sec-websocket-extensions");
  const { chosen, bearer } = parseSubprotocols(protocols);
  const credentials = parseCredentials({
    apiKey: req.getHeader("x-api-key"),
    authorization: req.getHeader("authorization"),
    bearer,
  });
  let aborted = false;
  res.onAborted(() => {
    aborted = true;
  });
  const { principal, errorCode } = await deps.resolve(credentials);
  if (aborted) return;
  if (principal === undefined && chosen === undefined) return answerError(res, errorCode, EXPLAINED[errorCode]);
  const admission: Attached["admission"] =
    principal === undefined
      ? { refused: errorCode }
      : { principal, framing: chosen === SUBPROTOCOL_NDJSON ? LINES : SINGLE };
  res.cork(() => res.upgrade<Attached>({ admission, open: true }, key, chosen ?? "", extensions, context));
}

/** [CONNECT-4] A browser sees no HTTP status, but it sees this. */
function refuse(ws: WebSocket<Attached>, code: Refusal): void {
  ws.send(encodeControl("error", errorPayload(code, EXPLAINED[code])), false);
  ws.end(ERRORS[code].close, EXPLAINED[code]);
}

/**
 * What uWebSockets.js gathers in a cork before it writes: what is sent beyond it in the same cork costs a system call a
 * frame again.
 */
const CORK_BYTES = 16 * 1024;
/** The header of a frame of less than 64 KiB, which is what matters to how many fit into a cork. */
const FRAME_HEADER_BYTES = 4;

function createSocket(ws: WebSocket<Attached>, attached: Attached): SessionSocket {
  let batching = false;
  let gathered: Buffer[] = [];
  let bytes = 0;
  const flush = () => {
    const frames = gathered;
    gathered = [];
    bytes = 0;
    if (!attached.open || frames.length === 0) return;
    ws.cork(() => {
      for (const frame of frames) ws.send(frame, false);
    });
  };
  return {
    send(frame) {
      if (!attached.open) return;
      if (!batching) {
        ws.send(frame, false);
        return;
      }
      const size = frame.length + FRAME_HEADER_BYTES;
      if (bytes + size > CORK_BYTES) flush();
      gathered.push(frame);
      bytes += size;
    },
    batch(work) {
      batching = true;
      try {
        work();
      } finally {
        batching = false;
        flush();
      }
    },
    buffered: () => (attached.open ? ws.getBufferedAmount() + bytes : 0),
    join(topic) {
      if (attached.open) ws.subscribe(topic);
    },
    leave(topic) {
      if (attached.open) ws.unsubscribe(topic);
    },
    ping() {
      if (attached.open) ws.ping();
    },
    end(code: CloseCode, reason: string) {
      if (attached.open) ws.end(code, reason);
    },
  };
}
