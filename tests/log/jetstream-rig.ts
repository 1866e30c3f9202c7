import { LIVE_PREFIX, STREAM } from "@kata/protocol/wire";
import { jetstreamManager } from "@nats-io/jetstream";
import { headers, type NatsConnection, type Status } from "@nats-io/transport-node";
import { createJetStreamLog } from "../../broker/src/log/jetstream-log.ts";
import { ensureStream } from "../../broker/src/log/stream.ts";
import { startNats } from "../support/nats.ts";
import { connectNats } from "../support/nats-connect.ts";
import { brokerUrl } from "../support/nats-secrets.ts";
import { startProxy } from "../support/proxy.ts";
import { recreateTestStream } from "../support/stream.ts";
import type { LogRig } from "./contract.ts";

export interface JetStreamRig extends LogRig {
  /** Where nats-server listens. */
  readonly port: number;
  /** A connection that is not the log's. */
  readonly outside: NatsConnection;
  /** The log's. */
  readonly nc: NatsConnection;
}

/** The real log, over a nats-server of its own and a connection that can be cut. */
export async function createJetStreamRig(options: { timeoutMs?: number } = {}): Promise<JetStreamRig> {
  const nats = await startNats();
  const outside = await connectNats(nats.url);
  const { streams } = await jetstreamManager(outside);
  await ensureStream(outside);
  const proxy = await startProxy({ port: nats.port });
  const nc = await connectNats(brokerUrl(proxy.port), {
    maxReconnectAttempts: -1,
    reconnectTimeWait: 10,
    reconnectJitter: 0,
  });
  const log = await createJetStreamLog(nc, { timeoutMs: options.timeoutMs ?? 10_000 });
  return {
    log,
    nc,
    outside,
    port: nats.port,
    async store(subject, data = "x", id) {
      const head = headers();
      if (id !== undefined) head.set("Nats-Msg-Id", id);
      const ack = await outside.request(subject, data, {
        timeout: 10_000,
        ...(id === undefined ? {} : { headers: head }),
      });
      return ack.json<{ seq: number }>().seq;
    },
    async trim(first) {
      // One by one, as limits do: nats-server 2.15.1 can forget to move first_seq when it purges by sequence.
      const { state } = await streams.info(STREAM, { deleted_details: true });
      const gone = new Set(state.deleted);
      for (let seq = state.first_seq; seq < Math.min(first, state.last_seq + 1); seq++) {
        if (seq > 0 && !gone.has(seq)) await streams.deleteMessage(STREAM, seq, false);
      }
    },
    async purge(subject, below) {
      await streams.purge(STREAM, { filter: subject, ...(below === undefined ? {} : { seq: below }) });
    },
    recreate: () => recreateTestStream(outside),
    async garble(subject) {
      // No client may speak there, but the server answers to wherever it is asked to.
      outside.publish("$JS.API.INFO", "", { reply: LIVE_PREFIX + subject });
      await outside.flush();
    },
    async time() {
      const time = Date.now() + 2;
      while (Date.now() < time) await new Promise((resolve) => setTimeout(resolve, 1));
      return time;
    },
    silence: () => proxy.pause(),
    async cut() {
      const noticed = nextStatus(nc, "disconnect");
      proxy.refuse(true);
      proxy.resume();
      proxy.cut();
      await noticed;
    },
    async heal() {
      const noticed = nextStatus(nc, "reconnect");
      proxy.refuse(false);
      await noticed;
    },
    async [Symbol.asyncDispose]() {
      await log.close();
      await nc.close();
      await outside.close();
      await proxy[Symbol.asyncDispose]();
      await nats[Symbol.asyncDispose]();
    },
  };
}

/** Resolves after the log, which listens for longer, has heard of it, too. */
async function nextStatus(nc: NatsConnection, type: Status["type"]): Promise<void> {
  for await (const status of nc.status()) if (status.type === type) return;
}
