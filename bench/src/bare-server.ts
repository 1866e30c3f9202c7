import uWS, { type us_listen_socket, type WebSocket } from "uWebSockets.js";
import { LIVE_PREFIX } from "@kata/protocol/wire";
import { connectNats } from "../../tests/support/nats-connect.ts";
import { BARE_SUBJECT } from "./bare-subject.ts";

// The limit that Kata is measured against: uWebSockets.js and nothing else. No authentication, no positions, no check of what it passes on or of
// what it missed. It gets ready-made envelopes, in the records in which Kata got its events and on the same way (stored by JetStream, one
// record in flight, republished over core NATS), and publishes each as a frame. So both spend the same system calls: how many
// events go into one depends on how many arrive at a time. Who comes with a lastEventId is first sent what it was told to keep.

interface Reader {
  /** How many of the kept frames it was sent. */
  sent: number;
  live: boolean;
}

const [natsUrl, protocol] = process.argv.slice(2) as [string, string];
const LINE_FEED = 0x0a;
/** What uWebSockets.js gathers before it writes; a send beyond it costs a system call of its own, as does each one after it. */
const CORK_BYTES = 16 * 1024;
/** As Kata's WS_HIGH_WATER_BYTES. */
const HIGH_WATER_BYTES = 256 * 1024;
const CONTROL = { timestamp: new Date(0).toISOString(), eventId: "0-0-0000", encoding: "json" };
const SUBSCRIBED = JSON.stringify({ type: "subscribed", ...CONTROL, payload: { recovery: "complete" } });
const CAUGHT_UP = JSON.stringify({ type: "caught_up", ...CONTROL, payload: {} });

let kept: Buffer[] = [];

function framesOf(record: Uint8Array): Buffer[] {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  if (protocol === "kata.v1.ndjson") return [bytes];
  const frames: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
    frames.push(bytes.subarray(start, end));
    start = end + 1;
  }
  frames.push(bytes.subarray(start));
  return frames;
}

/** Sends what is kept as fast as the socket takes it, many frames a system call. */
function send(ws: WebSocket<Reader>): void {
  const reader = ws.getUserData();
  while (reader.sent < kept.length && ws.getBufferedAmount() <= HIGH_WATER_BYTES) {
    ws.cork(() => {
      let bytes = 0;
      while (reader.sent < kept.length) {
        const frame = kept[reader.sent] as Buffer;
        bytes += frame.length + 4;
        if (bytes > CORK_BYTES && bytes > frame.length + 4) break;
        ws.send(frame, false);
        reader.sent++;
      }
    });
  }
  if (reader.sent < kept.length || reader.live) return;
  reader.live = true;
  ws.subscribe("all");
  ws.send(CAUGHT_UP, false);
}

const app = uWS.App().ws<Reader>("/ws", {
  maxBackpressure: 0,
  closeOnBackpressureLimit: 0,
  idleTimeout: 0,
  sendPingsAutomatically: false,
  upgrade: (res, req, context) => {
    res.upgrade<Reader>(
      { sent: 0, live: false },
      req.getHeader("sec-websocket-key"),
      req.getHeader("sec-websocket-protocol"),
      req.getHeader("sec-websocket-extensions"),
      context,
    );
  },
  message: (ws, data) => {
    const reader = ws.getUserData();
    if (reader.live) return;
    if (!Buffer.from(data).includes("lastEventId")) reader.sent = kept.length;
    ws.send(SUBSCRIBED, false);
    send(ws);
  },
  drain: (ws) => {
    if (!ws.getUserData().live) send(ws);
  },
});

const nats = await connectNats(natsUrl);
nats.subscribe(`${LIVE_PREFIX}${BARE_SUBJECT}`, {
  callback: (_error, msg) => {
    for (const frame of framesOf(msg.data)) app.publish("all", frame, false);
  },
});
nats.subscribe("bench.keep", {
  callback: (_error, msg) => {
    kept.push(...framesOf(Buffer.from(msg.data)));
    msg.respond();
  },
});
nats.subscribe("bench.forget", {
  callback: (_error, msg) => {
    kept = [];
    msg.respond();
  },
});
await nats.flush();
app.listen("127.0.0.1", 0, (socket: us_listen_socket | false) => {
  if (socket === false) throw new Error("cannot listen");
  process.send?.({ port: uWS.us_socket_local_port(socket) });
});
process.on("disconnect", () => process.exit(0));
