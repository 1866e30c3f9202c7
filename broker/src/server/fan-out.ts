import uWS, { type TemplatedApp } from "uWebSockets.js";
import type { TlsFiles } from "./tls.ts";

/** Takes the frames of a topic without being a WebSocket. */
export interface Sink {
  send(frame: Buffer): void;
}

/** What delivery fans out through; it exists before the server does. */
export class FanOut {
  readonly app: TemplatedApp;
  readonly #sinks = new Map<string, Set<Sink>>();

  /** With TLS if there are files for it; they are read once. */
  constructor(tls?: TlsFiles) {
    this.app = tls === undefined ? uWS.App() : uWS.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
  }

  /** Sends a frame to all who joined the topic. A topic has either WebSockets, which join it by themselves, or sinks. */
  readonly publish = (topic: string, frame: Buffer): void => {
    const sinks = this.#sinks.get(topic);
    if (sinks === undefined) this.app.publish(topic, frame, false);
    else for (const sink of sinks) sink.send(frame);
  };

  join(topic: string, sink: Sink): void {
    const sinks = this.#sinks.get(topic);
    if (sinks === undefined) this.#sinks.set(topic, new Set([sink]));
    else sinks.add(sink);
  }

  leave(topic: string, sink: Sink): void {
    const sinks = this.#sinks.get(topic);
    if (sinks?.delete(sink) && sinks.size === 0) this.#sinks.delete(topic);
  }
}
