import type { HttpRequest, HttpResponse, TemplatedApp, us_socket_context_t, WebSocket } from "uWebSockets.js";
import { type CloseCode, ERRORS, SUBPROTOCOL_NDJSON } from "@kata/protocol/wire";
import type { Principal } from "../auth/principal.ts";
import { encodeControl } from "../delivery/control.ts";
import { type Framing, LINES, SINGLE } from "../delivery/framing.ts";
import { authenticate, type Identity, type IdentityRefusal, lookAgain } from "./authenticate.ts";
import type { Connection } from "./connection.ts";
import { parseSubprotocols } from "./credentials.ts";
import type { Place } from "./limits/limits.ts";
import { type Caller, callerOf } from "./request.ts";
import { answerRefusal } from "./respond.ts";
import { Session, type SessionDeps, type SessionSocket } from "./session.ts";
import { errorPayload } from "./wire-error.ts";

/** What a socket carries from its upgrade to its end. */
interface Attached {
  readonly admission: Admission;
  /** Whether the socket may still be called. */
  open: boolean;
  session?: Session;
}

type Admission =
  | { readonly principal: Principal; readonly address: string; readonly framing: Framing; readonly place: Place }
  | { readonly refused: IdentityRefusal };

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
      const { principal, address, framing } = attached.admission;
      attached.session = new Session(createSocket(ws, attached), principal, address, framing, deps);
      connections.add(attached.session);
    },
    message: (ws, data, isBinary) => ws.getUserData().session?.receive(data, isBinary),
    ping: (ws) => ws.getUserData().session?.pinged(),
    pong: (ws) => ws.getUserData().session?.heard(),
    drain: (ws) => ws.getUserData().session?.drained(),
    close: (ws) => {
      const attached = ws.getUserData();
      attached.open = false;
      if ("place" in attached.admission) attached.admission.place.leave();
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
  const caller = callerOf(res, req, deps.config, bearer);
  let aborted = false;
  res.onAborted(() => {
    aborted = true;
  });
  const identity = await identify(caller, deps);
  if (aborted) return;
  const admission = enter(identity, chosen === SUBPROTOCOL_NDJSON ? LINES : SINGLE, caller, deps);
  if ("refused" in admission && chosen === undefined) return answerRefusal(res, admission.refused);
  res.cork(() => res.upgrade<Attached>({ admission, open: true }, key, chosen ?? "", extensions, context));
}

/** [LIMIT-2] Asks nobody about an address that has had enough. */
async function identify(caller: Caller, deps: SessionDeps): Promise<Identity> {
  const refused = deps.limits.arrive(caller.address);
  return refused === undefined ? await authenticate(caller, deps) : { refused };
}

/** Whoever is somebody still needs a place. */
function enter(identity: Identity, framing: Framing, { address }: Caller, deps: SessionDeps): Admission {
  // Word of what was taken back can have come between that answer and now.
  const { principal, refused } = identity.refused === undefined ? lookAgain(identity, deps) : identity;
  if (refused !== undefined) return { refused };
  const place = deps.limits.enter(address, principal);
  return "code" in place ? { refused: place } : { principal, address, framing, place };
}

/** [CONNECT-4] A browser sees no HTTP status, but it sees this. */
function refuse(ws: WebSocket<Attached>, { code, message }: IdentityRefusal): void {
  ws.send(encodeControl("error", errorPayload(code, message)), false);
  ws.end(ERRORS[code].close, message);
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
